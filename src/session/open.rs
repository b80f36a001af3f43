//! `GET /session/open`: an app's embedded web view opens a page of the site, signed in as the app is.

use actix_session::SessionExt;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::auth::{AuthError, LoginSecretBytes, Mode, OtherModeBearer};
use crate::error::{FieldError, Problem};
use crate::http::client::Client;
use crate::http::query::parameters;
use crate::logins::{Presentation, Transport};
use crate::metrics::Metrics;

use super::id::SessionId;
use super::{NAME, SessionMode, actix_signed_cookie};

/// What a header can't have in it, beside what is not ASCII.
const NOT_IN_A_HEADER: &AsciiSet = &CONTROLS.add(b' ');

/// Open a page in an app's web view, signed in: sets the session cookie of the access token's login, and redirects.
///
/// For the first load of an embedded web view, to which the app adds the header `Authorization: Bearer` with its access token. No
/// cookie is looked at, and no link can send this header. The session is of the *same* login: it ends with the app's, and the app
/// ends with it. A session id that the login had before is replaced, and invalid at once. A token from before the login's last
/// step-up is `token_revoked`: refresh first. `GET` only, without `HEAD`.
#[utoipa::path(operation_id = "session_open", tag = "session", security(("bearer" = [])),
    params(("to" = String, Query, example = "/account",
        description = "The path to open, on this host: one `/`, then neither `/` nor `\\`, and no control character.")),
    responses(
    (status = 303, description = "The login is presented by a session cookie as well.", headers(
        ("Location" = String, description = "The path."),
        ("Set-Cookie" = String, description = "`sessionid`."))),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/open")]
pub(super) async fn session_open(
    mode: Data<SessionMode>,
    metrics: Data<Metrics>,
    client: Client,
    request: HttpRequest,
    OtherModeBearer(identity): OtherModeBearer,
) -> Result<HttpResponse, Problem> {
    let outcome = async {
        let location = location(request.query_string())?;
        let secret = LoginSecretBytes::generate();
        let key = mode.login_credential_hash(&secret);
        let presentation = Presentation { mode: NAME, transport: Transport::Cookie, key, replaces: None };
        let actor = identity.actor(&client);
        let opened = mode.logins.open_in(identity.claimed_login(), presentation, identity.mode, &actor).await;
        let login = opened.map_err(|error| AuthError::of_exchange(error, AuthError::TokenRevoked))?;
        let life = login.remember_me.then(|| login.time_left(mode.clock.now()));
        let id = mode.ids.encode(&SessionId::new(secret, login.generations.current));
        actix_signed_cookie::set_cookie(&request.get_session(), &request, &id, life)
            .map_err(Problem::internal)?;
        Ok(HttpResponse::SeeOther().insert_header((LOCATION, location)).finish())
    };
    metrics.exchanged("open", outcome.await)
}

/// The value of `Location` for a query.
fn location(query: &str) -> Result<String, Problem> {
    let [to] = parameters(query, ["to"])?;
    let error = |detail| Problem::parameters(vec![FieldError::of("to", detail)]);
    let to = to.ok_or_else(|| error("is missing"))?;
    if !is_local_path(&to) {
        return Err(error("must be a path: one `/`, then neither `/` nor `\\`, and no control character"));
    }
    Ok(utf8_percent_encode(&to, NOT_IN_A_HEADER).to_string())
}

/// Whether every browser takes it for a path on this host. Two slashes would name another host, a backslash counts as a slash, and
/// tabs and line breaks are left out before a URL is read (WHATWG URL, section 4.4).
fn is_local_path(text: &str) -> bool {
    let mut rest = text.chars();
    rest.next() == Some('/')
        && !matches!(rest.next(), Some('/' | '\\'))
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::property_testing::check;

    #[test]
    fn whatever_is_taken_stays_on_this_host() {
        let base = Url::parse("https://auth.example.org/session/open").expect("a URL");
        let wild =
            prop_oneof!["[/\\\\\t\n a.:@?#é%]{0,8}", "/[/\\\\\t\r\n a.:@?#é%2]{0,12}", any::<String>()];
        check(wild, |to| {
            let query = format!("to={}", utf8_percent_encode(&to, percent_encoding::NON_ALPHANUMERIC));
            if let Ok(location) = location(&query) {
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{}", location);
                let opened = base.join(&location).expect("a URL");
                prop_assert_eq!(opened.origin(), base.origin(), "{}", location);
            }
            Ok(())
        });
    }

    #[test]
    fn a_path_is_kept_as_it_is() {
        for (query, expected) in [
            ("to=/", "/"),
            ("to=/a/b%3Fc=d%26e%23f", "/a/b?c=d&e#f"),
            ("to=/a%2520b", "/a%20b"),
            ("to=%2Fk%C3%B6ln%20x", "/k%C3%B6ln%20x"),
            ("to=/a//b", "/a//b"),
        ] {
            assert_eq!(location(query).ok().as_deref(), Some(expected), "{query}");
        }
        for wrong in [
            "",
            "to=",
            "to=a",
            "to=//e.org",
            "to=/%5Ce.org",
            "to=/%09/e.org",
            "to=/a%0D%0Ab:c",
            "to=/a%7F",
            "to=/a%C2%85",
            "to=https://e.org",
            "to=%20/a",
            "to=/a&to=/a",
            "to=/a&x=1",
        ] {
            assert_eq!(
                location(wrong).err().map(|problem| problem.code().as_str()),
                Some("validation_failed"),
                "{wrong}"
            );
        }
    }
}
