//! Every attribute of every cookie.

use crate::support::{
    DAY, MINUTE,
    client::{Client, Mode, Pair},
    http::{Request, SetCookie},
    server::TestServer,
    with,
};

promises! { of every cookie:
    cookies_over_http_have_plain_names,
    cookies_over_https_are_secure_and_prefixed,
    cookies_over_https_are_read_by_their_whole_name_only,
    cookies_of_a_domain_are_prefixed_as_secure,
    cookies_of_a_domain_over_http_have_plain_names,
    cookies_last_until_the_browser_closes,
    remembered_cookies_last_as_long_as_what_they_hold,
    cookies_last_400_days_at_most,
    cookies_are_not_sent_unless_they_change,
    cookies_are_cleared_as_they_were_set,
    cookies_have_the_prefix_that_is_set_after_the_browsers_own,
    a_name_of_another_service_is_read_only_without_its_prefix,
    another_services_cookie_of_the_same_name_is_never_cleared,
    a_cookie_that_came_twice_is_told_with_the_way_out,
}

const HTTPS: (&str, &str) = ("PUBLIC_URL", "https://auth.example.org");
const DOMAIN: (&str, &str) = ("COOKIE_DOMAIN", "example.org");

fn cookie(name: &str, path: &str, same_site: &str) -> SetCookie {
    SetCookie {
        name: name.to_owned(),
        path: Some(path.to_owned()),
        same_site: Some(same_site.to_owned()),
        http_only: true,
        ..SetCookie::default()
    }
}

/// A mode's cookies, with these prefixes for path `/` and for a deeper one.
fn cookies(mode: Mode, root: &str, deeper: &str) -> Vec<SetCookie> {
    match mode {
        Mode::Session => vec![cookie(&format!("{root}sessionid"), "/", "Lax")],
        Mode::Jwt => vec![
            cookie(&format!("{root}access_token"), "/", "Lax"),
            cookie(&format!("{deeper}refresh_token"), "/jwt", "Strict"),
        ],
    }
}

fn each(cookies: Vec<SetCookie>, set: impl Fn(&mut SetCookie)) -> Vec<SetCookie> {
    cookies
        .into_iter()
        .map(|mut cookie| {
            set(&mut cookie);
            cookie
        })
        .collect()
}

/// What a login sets on a server with these settings; the values, which are secrets, left out.
async fn set_at_login(pair: Pair, settings: &[(&str, &str)], remember_me: bool) -> Vec<SetCookie> {
    let server = TestServer::with(settings).await;
    server.user("ada").await;
    let body = with(pair.credentials("ada"), "remember_me", remember_me);
    let response = Client::new(&server, pair).login(&body).await.expect(200);
    attributes(response.set_cookies())
}

fn attributes(cookies: Vec<SetCookie>) -> Vec<SetCookie> {
    each(cookies, |cookie| {
        assert!(!cookie.value.is_empty());
        cookie.value.clear();
    })
}

fn max_ages(cookies: &[SetCookie]) -> Vec<Option<i64>> {
    cookies.iter().map(|cookie| cookie.max_age).collect()
}

async fn cookies_over_http_have_plain_names(pair: Pair) {
    let set = set_at_login(pair, &[], false).await;
    assert_eq!(set, cookies(pair.mode, "", ""));
}

async fn cookies_over_https_are_secure_and_prefixed(pair: Pair) {
    let set = set_at_login(pair, &[HTTPS], false).await;
    let expected = cookies(pair.mode, "__Host-", "__Secure-");
    assert_eq!(set, each(expected, |cookie| cookie.secure = true));
}

async fn cookies_of_a_domain_are_prefixed_as_secure(pair: Pair) {
    let set = set_at_login(pair, &[HTTPS, DOMAIN], false).await;
    let expected = each(cookies(pair.mode, "__Secure-", "__Secure-"), |cookie| {
        cookie.secure = true;
        cookie.domain = Some("example.org".to_owned());
    });
    assert_eq!(set, expected);
}

async fn cookies_of_a_domain_over_http_have_plain_names(pair: Pair) {
    let plain = ("PUBLIC_URL", "http://auth.example.org");
    let set = set_at_login(pair, &[plain, DOMAIN], false).await;
    let domain = |cookie: &mut SetCookie| cookie.domain = Some("example.org".to_owned());
    assert_eq!(set, each(cookies(pair.mode, "", ""), domain));
}

async fn cookies_over_https_are_read_by_their_whole_name_only(pair: Pair) {
    for (settings, prefix) in [(&[HTTPS][..], "__Host-"), (&[HTTPS, DOMAIN], "__Secure-")] {
        let server = TestServer::with(settings).await;
        let client = Client::of_new_user(&server, pair, "ada").await;
        let secret = client.credential();
        let name = pair.mode.cookie_names()[0];

        client.profile().await.ok();
        for other in ["", "__Host-", "__Secure-", "__host-", "__HOST-", "__Http-"] {
            if other != prefix {
                let cookie = format!("{other}{name}={secret}");
                let request = Request::get("/profile").header("Cookie", cookie);
                server.send(request).await.problem(401, "not_authenticated");
            }
        }
    }
}

async fn cookies_last_until_the_browser_closes(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;

    let refreshed = client.refresh().await.expect(200);

    assert_eq!(attributes(refreshed.set_cookies()), cookies(pair.mode, "", ""));
}

async fn remembered_cookies_last_as_long_as_what_they_hold(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let remembered = with(pair.credentials("ada"), "remember_me", true);
    let lasting = |login: i64| match pair.mode {
        Mode::Session => vec![Some(login)],
        Mode::Jwt => vec![Some(900), Some(login)],
    };

    let set = client.login(&remembered).await.expect(200);
    assert_eq!(max_ages(&set.set_cookies()), lasting(90 * 86_400));

    server.clock.advance(DAY);
    let set = client.refresh().await.expect(200);
    assert_eq!(max_ages(&set.set_cookies()), lasting(89 * 86_400));
}

async fn cookies_last_400_days_at_most(pair: Pair) {
    let set = set_at_login(pair, &[("REMEMBER_TTL", "500d")], true).await;
    let longest = match pair.mode {
        Mode::Session => vec![Some(400 * 86_400)],
        Mode::Jwt => vec![Some(900), Some(400 * 86_400)],
    };
    assert_eq!(max_ages(&set), longest);
}

const PREFIX: (&str, &str) = ("COOKIE_NAME_PREFIX", "staging_");

async fn cookies_have_the_prefix_that_is_set_after_the_browsers_own(pair: Pair) {
    for (settings, root, deeper) in [
        (&[PREFIX][..], "staging_", "staging_"),
        (&[PREFIX, HTTPS], "__Host-staging_", "__Secure-staging_"),
        (&[PREFIX, HTTPS, DOMAIN], "__Secure-staging_", "__Secure-staging_"),
    ] {
        let set = set_at_login(pair, settings, false).await;
        let names =
            |cookies: &[SetCookie]| cookies.iter().map(|cookie| cookie.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&set), names(&cookies(pair.mode, root, deeper)));
    }
    for prefix in ["a.b-C_9", "_", "x2345678901234567890123456789012"] {
        let server = TestServer::with(&[HTTPS, ("COOKIE_NAME_PREFIX", prefix)]).await;
        let mut client = Client::of_new_user(&server, pair, "ada").await;
        client.get("/profile").await.ok();
        client.refresh().await.ok();
        client.profile().await.ok();
        client.logout().await.expect(204);
        assert!(client.jar.is_empty());
    }
}

async fn a_name_of_another_service_is_read_only_without_its_prefix(pair: Pair) {
    let server = TestServer::with(&[PREFIX, HTTPS]).await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let name = pair.mode.cookie_names()[0];
    let secret = client.jar.get(&format!("staging_{name}")).value.clone();
    for other in ["__Host-", "__Host-Staging_", "__Host-staging", "staging_", "__Secure-staging_", ""] {
        let cookie = format!("{other}{name}={secret}");
        let request = Request::get("/profile").header("Cookie", cookie);
        server.send(request).await.problem(401, "not_authenticated");
    }
    // The production's cookie, which goes to the hosts below as well, may be anything.
    let both = format!("__Host-{name}=one; __Host-{name}=other; __Host-staging_{name}={secret}");
    server.send(Request::get("/profile").header("Cookie", both)).await.ok();
}

async fn another_services_cookie_of_the_same_name_is_never_cleared(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let logout = |cookies: String| Request::post(&client.path("logout")).header("Cookie", cookies);
    let names = pair.mode.cookie_names();
    let foreign = [
        "kz5b1qj0v7y2h8d4x9c3m6n1p0s8t7r2", // Django's
        "s%3Aq1w2e3.r4t5y6",                // Express's
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "Bearer",
    ];
    for value in foreign {
        for name in names {
            let response = server.send(logout(format!("{name}={value}"))).await.expect(401);
            let cleared: Vec<_> = response.set_cookies().into_iter().map(|cookie| cookie.name).collect();
            assert!(!cleared.iter().any(|cleared| cleared == name), "{value}: {cleared:?}");
        }
    }
    // What may have been ours once is.
    let old = client.credential();
    let other = if old.ends_with('A') { 'E' } else { 'A' };
    let forged = format!("{}{other}", &old[..old.len() - 1]);
    let response = server.send(logout(format!("{}={forged}", names[0]))).await.expect(401);
    assert!(response.set_cookies().iter().any(|it| it.name == names[0] && it.is_removal()), "{response}");
}

async fn a_cookie_that_came_twice_is_told_with_the_way_out(pair: Pair) {
    let server = TestServer::with(&[PREFIX]).await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let name = format!("staging_{}", pair.mode.cookie_names()[0]);
    let twice = format!("{name}={}; {name}=other", client.jar.get(&name).value);
    for path in ["/profile", &client.path("profile")] {
        let request = Request::get(path).header("Cookie", &twice);
        let told = server.send(request).await.problem(400, "malformed_request").text();
        assert!(told.contains(&name) && told.contains("COOKIE_NAME_PREFIX"), "{told}");
    }
}

async fn cookies_are_not_sent_unless_they_change(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let remembered = with(pair.credentials("ada"), "remember_me", true);
    client.login(&remembered).await.ok();

    for _ in 0..3 {
        for path in [&client.path("profile"), "/profile", &client.path("csrf")] {
            assert_eq!(client.get(path).await.expect(200).set_cookies(), []);
        }
        server.clock.advance(MINUTE);
    }
}

async fn cookies_are_cleared_as_they_were_set(pair: Pair) {
    for settings in [&[][..], &[HTTPS], &[HTTPS, DOMAIN]] {
        let server = TestServer::with(settings).await;
        server.user("ada").await;
        let mut client = Client::new(&server, pair);
        let place = |cookie: SetCookie| (cookie.name, cookie.path, cookie.domain);
        let set = client.login(&pair.credentials("ada")).await.set_cookies();

        let cleared = client.logout().await.expect(204).set_cookies();

        assert!(cleared.iter().all(SetCookie::is_removal), "{cleared:?}");
        // A browser takes no prefixed cookie that is not Secure, not even to remove one.
        assert!(cleared.iter().zip(&set).all(|(one, other)| one.secure == other.secure));
        let places = |cookies: Vec<SetCookie>| cookies.into_iter().map(place).collect::<Vec<_>>();
        assert_eq!(places(cleared), places(set));
        assert!(client.jar.is_empty());
    }
}
