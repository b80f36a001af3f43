//! Settings that can be used, and those that can't.

use std::time::Duration;

use crate::testing::{CLIENT, HERE};
use crate::{BuildError, Verifier};

#[tokio::test]
async fn a_url_that_is_no_server_s_is_refused() {
    for url in [
        "",
        "auth.example.com",
        "ftp://auth.example.com",
        "http://",
        "https://ada:pw@auth.example.com",
        "https://auth.example.com/?a",
        "https://auth.example.com/#a",
        "https://auth example.com",
    ] {
        let built = Verifier::builder(HERE, HERE).url(url).build();
        assert!(matches!(built, Err(BuildError::Url(_))), "{url}: {built:?}");
    }
    for url in ["http://127.0.0.1:1", "http://[::1]:1/auth/", "https://127.0.0.1:1/auth"] {
        assert!(Verifier::builder(HERE, HERE).url(url).build().is_ok(), "{url}");
    }
}

#[tokio::test]
async fn a_bound_of_nothing_and_an_empty_secret_are_refused() {
    let settings = Verifier::builder(HERE, HERE);
    let built = settings.clone().staleness_bound(Duration::ZERO).build();
    assert!(matches!(built, Err(BuildError::StalenessBound)), "{built:?}");
    for (id, secret) in [("", CLIENT.1), (CLIENT.0, "")] {
        let built = settings.clone().client(id, secret).build();
        assert!(matches!(built, Err(BuildError::Client)), "{built:?}");
    }
}

#[test]
fn without_a_runtime_nothing_is_built() {
    assert!(matches!(Verifier::builder(HERE, HERE).build(), Err(BuildError::NoRuntime)));
}

#[test]
fn a_secret_is_not_printed() {
    let settings = Verifier::builder(HERE, HERE).client(CLIENT.0, CLIENT.1);
    let printed = format!("{settings:?}");
    assert!(printed.contains(CLIENT.0) && !printed.contains(CLIENT.1), "{printed}");
}
