//! GitHub: OAuth without ID tokens, so its API says who signed in.

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::error::ProviderError;
use super::http_client::{ProviderHttpClient, ProviderRequest, Step};
use super::identity::ProviderIdentity;
use crate::config::ProviderConfig;
use crate::users::check_email;

/// Where things are on this server.
#[derive(Debug)]
pub(super) struct GitHubEndpoints {
    pub(super) authorization: Url,
    pub(super) token: Url,
    user: Url,
    emails: Url,
    /// The root of the API.
    pub(super) api: Url,
}

/// `GET /user`. A login name may be somebody else's tomorrow: the number stays.
#[derive(Deserialize)]
struct GitHubUser {
    id: u64,
    login: Option<String>,
}

/// One of `GET /user/emails`.
#[derive(Deserialize)]
struct GitHubEmail {
    email: String,
    primary: bool,
    verified: bool,
}

impl GitHubEndpoints {
    /// Those of github.com, of a company at ghe.com, or of an Enterprise Server.
    pub(super) fn new(issuer: &Url) -> Self {
        let api = api(issuer);
        Self {
            authorization: below(issuer, "/login/oauth/authorize"),
            token: below(issuer, "/login/oauth/access_token"),
            user: below(&api, "/user"),
            emails: below(&api, "/user/emails"),
            api,
        }
    }

    /// Whose token this is. The public address in their profile is not asked: it may be none, or not verified.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn identify(
        &self,
        client: &ProviderHttpClient,
        config: &ProviderConfig,
        access_token: &str,
        deadline: Instant,
    ) -> Result<ProviderIdentity, ProviderError> {
        let request = ProviderRequest::bearer(Step::UserInfo, self.user.clone(), access_token);
        let user: GitHubUser = client.send(request, deadline).await?.ok()?;
        Ok(ProviderIdentity {
            provider: config.name.clone(),
            // However the settings spell it.
            issuer: config.issuer.trim_end_matches('/').to_owned(),
            subject: user.id.to_string(),
            email: self.email(client, access_token, deadline).await?,
            preferred_username: user.login,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            proves_both_factors: false,
            tokens: None,
        })
    }

    /// The primary address, if it is verified. `None` as well where the client may not ask for it.
    async fn email(
        &self,
        client: &ProviderHttpClient,
        access_token: &str,
        deadline: Instant,
    ) -> Result<Option<String>, ProviderError> {
        let request = ProviderRequest::bearer(Step::Emails, self.emails.clone(), access_token);
        let answer = client.send(request, deadline).await?;
        if matches!(answer.status, 403 | 404) {
            return Ok(None);
        }
        let emails: Vec<GitHubEmail> = answer.ok()?;
        let primary = emails.into_iter().find(|email| email.primary && email.verified);
        Ok(primary.map(|primary| primary.email).filter(|email| check_email(email).is_ok()))
    }
}

fn api(issuer: &Url) -> Url {
    let host = issuer.host_str().unwrap_or_default();
    let mut api = issuer.clone();
    match host == "github.com" || host.ends_with(".ghe.com") {
        // A name that is not too long, as the length of a host is checked by nobody else.
        true if api.set_host(Some(&format!("api.{host}"))).is_ok() => api,
        _ => below(issuer, "/api/v3"),
    }
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_each_kind_of_github_has_it() {
        for (issuer, user) in [
            ("https://github.com", "https://api.github.com/user"),
            ("https://github.com/", "https://api.github.com/user"),
            ("https://octo.ghe.com", "https://api.octo.ghe.com/user"),
            ("https://git.example.com", "https://git.example.com/api/v3/user"),
            ("https://example.com/git/", "https://example.com/git/api/v3/user"),
            ("https://github.com.example", "https://github.com.example/api/v3/user"),
        ] {
            let endpoints = GitHubEndpoints::new(&Url::parse(issuer).expect(issuer));
            assert_eq!(endpoints.user.as_str(), user);
            assert!(endpoints.token.as_str().starts_with(issuer.trim_end_matches('/')));
        }
    }
}
