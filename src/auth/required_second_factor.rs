//! `SECOND_FACTOR=required`: a login below aal2 may enrol a second factor, step up and sign out, and nothing else.

use actix_web::{HttpRequest, web};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::database::DatabaseError;
use crate::error::Problem;
use crate::logins::Acr;

use super::{AcceptedAuthModes, AuthenticationRequirement};

/// The routes for that, by method and path. To enrol takes a proved address, while mails are on.
const SHARED: [(&str, &str); 3] =
    [("POST", "/challenges"), ("POST", "/account/factors"), ("POST", "/account/email")];

/// The same, below each mode's name. What a cookie may change takes a CSRF token.
const OF_EACH_MODE: [(&str, &str); 4] =
    [("POST", "step-up"), ("POST", "logout"), ("POST", "logout-all"), ("GET", "csrf")];

/// The second factors by which a user can step up.
pub trait SecondFactorMethods: Send + Sync {
    /// Their names, as in `methods` of a problem.
    fn of_user(&self, user: Uuid) -> BoxFuture<'_, Result<Vec<&'static str>, DatabaseError>>;
}

/// Whether a login below aal2 may use the route of this request.
pub(super) fn is_open_below_aal2(request: &HttpRequest, modes: &AcceptedAuthModes) -> bool {
    let Some(pattern) = request.match_pattern() else { return false };
    let method = request.method().as_str();
    let of_mode = |(mode, tail)| {
        modes.iter().any(|known| known.name() == mode) && OF_EACH_MODE.contains(&(method, tail))
    };
    SHARED.contains(&(method, pattern.as_str()))
        || pattern.strip_prefix('/').and_then(|path| path.split_once('/')).is_some_and(of_mode)
}

/// The refusal of such a login. Only here the database is queried, for the methods by which it can step up.
pub async fn second_factor_missing(request: &HttpRequest, user: Uuid) -> Problem {
    let wanted = AuthenticationRequirement { acr: Some(Acr::Aal2), max_age: None };
    let Some(methods) = request.app_data::<web::Data<dyn SecondFactorMethods>>() else {
        return wanted.problem(&[]);
    };
    match methods.of_user(user).await {
        Ok(methods) => wanted.problem(&methods),
        Err(error) => error.into(),
    }
}
