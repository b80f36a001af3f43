//! Every promise that holds whatever the mode and the transport, kept once for each.

/// Makes tests of promises: one for each pair of mode and transport, for each mode, for each mode's cookies, or for a
/// refresh token in each of its places.
macro_rules! promises {
    (of every pair: $($promise:ident),+ $(,)?) => {$(mod $promise {
        promises!(@ $promise(Pair) session_by_cookie SESSION_COOKIE);
        promises!(@ $promise(Pair) session_by_bearer SESSION_BEARER);
        promises!(@ $promise(Pair) jwt_by_cookie JWT_COOKIE);
        promises!(@ $promise(Pair) jwt_by_bearer JWT_BEARER);
    })+};
    (of every cookie: $($promise:ident),+ $(,)?) => {$(mod $promise {
        promises!(@ $promise(Pair) session_by_cookie SESSION_COOKIE);
        promises!(@ $promise(Pair) jwt_by_cookie JWT_COOKIE);
    })+};
    (of every refresh token: $($promise:ident),+ $(,)?) => {$(mod $promise {
        promises!(@ $promise(Pair) by_cookie JWT_COOKIE);
        promises!(@ $promise(Pair) by_bearer JWT_BEARER);
    })+};
    (of every mode: $($promise:ident),+ $(,)?) => {$(mod $promise {
        promises!(@ $promise(Mode) session Session);
        promises!(@ $promise(Mode) jwt Jwt);
    })+};
    (@ $promise:ident($kind:ident) $case:ident $value:ident) => {
        #[tokio::test]
        async fn $case() {
            super::$promise($crate::support::client::$kind::$value).await;
        }
    };
}

mod bodies;
mod cookies;
mod data;
mod deletion;
mod lifetimes;
mod login;
mod logins;
mod logout;
mod logout_all;
mod methods;
mod password;
mod profile;
mod refresh;
mod registration;
mod step_up;
mod verify;

pub use login::members;
