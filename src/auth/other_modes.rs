//! The modes beside the one that a route belongs to, and the extractor of their Bearer tokens.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use crate::error::Problem;

use super::extractor::identify_bearer;
use super::{AcceptedAuthModes, AuthError, Identity, Mode, Rejection};

/// Every mode but the one that a route belongs to.
#[derive(Clone)]
pub struct OtherAuthModes(AcceptedAuthModes);

impl OtherAuthModes {
    /// Every mode but this one.
    pub fn than(mode: &Arc<dyn Mode>, all: &AcceptedAuthModes) -> Self {
        Self(all.without(mode))
    }

    /// The modes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Mode>> {
        self.0.iter()
    }
}

/// The identity of a request by a Bearer token of another mode than the route's. Cookies are not looked at: a link or a form of any
/// page sends them, and sends no such header.
#[derive(Debug)]
pub struct OtherModeBearer(pub Identity);

impl FromRequest for OtherModeBearer {
    type Error = Rejection;
    type Future = LocalBoxFuture<'static, Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let modes = request.app_data::<web::Data<OtherAuthModes>>().ok_or(AuthError::NotAuthenticated);
            let modes = modes.map_err(Problem::from)?;
            identify_bearer(&request, &modes.0).await.map(Self)
        })
    }
}
