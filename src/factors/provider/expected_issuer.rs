//! Which issuer a provider's discovery document, ID tokens and callbacks must be of.

use uuid::Uuid;

use crate::config::{ProviderConfig, ProviderKind};

/// Where the id of a tenant stands in Microsoft's documents.
const TENANT_ID: &str = "{tenantid}";

/// The tenant of Microsoft's personal accounts.
const PERSONAL_ACCOUNTS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// The issuer of the settings, or any tenant of Microsoft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedIssuer {
    /// This one, compared as it is written.
    Exact(String),
    /// That of any tenant: the claim `tid` says of which.
    AnyTenant {
        /// The issuer with [`TENANT_ID`] in it.
        template: String,
        /// Whether personal accounts have one as well: `common`, not `organizations`.
        allows_personal_accounts: bool,
    },
}

impl ExpectedIssuer {
    pub(super) fn new(config: &ProviderConfig) -> Self {
        let issuer = &config.issuer;
        let tenant = issuer
            .strip_suffix("/v2.0")
            .and_then(|rest| rest.rsplit_once('/'))
            .filter(|_| config.kind == ProviderKind::Microsoft);
        match tenant {
            Some((host, tenant @ ("common" | "organizations"))) => Self::AnyTenant {
                template: format!("{host}/{TENANT_ID}/v2.0"),
                allows_personal_accounts: tenant == "common",
            },
            Some((host, "consumers")) => Self::Exact(format!("{host}/{PERSONAL_ACCOUNTS}/v2.0")),
            _ => Self::Exact(issuer.clone()),
        }
    }

    /// `issuer` of the discovery document.
    pub(super) fn in_discovery(&self) -> &str {
        match self {
            Self::Exact(issuer) => issuer,
            Self::AnyTenant { template, .. } => template,
        }
    }

    /// Whether an ID token may be of this issuer; `tenant` is its `tid`.
    pub(super) fn issues(&self, issuer: &str, tenant: Option<&str>) -> bool {
        match self {
            Self::Exact(expected) => issuer == expected,
            Self::AnyTenant { template, allows_personal_accounts } => tenant.is_some_and(|tenant| {
                Uuid::try_parse(tenant).is_ok()
                    && (*allows_personal_accounts || tenant != PERSONAL_ACCOUNTS)
                    && issuer == in_tenant(template, tenant)
            }),
        }
    }

    /// Whether `iss` of a callback may be this.
    pub(super) fn calls_back(&self, issuer: &str) -> bool {
        match self {
            Self::Exact(expected) => issuer == expected,
            Self::AnyTenant { template, .. } => {
                let (before, after) = template.split_once(TENANT_ID).unwrap_or_default();
                let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                self.issues(issuer, tenant)
            }
        }
    }
}

/// Whether a key that names an issuer, as Microsoft's do, may sign for this one.
pub(super) fn may_sign_for(key_issuer: &str, issuer: &str, tenant: Option<&str>) -> bool {
    in_tenant(key_issuer, tenant.unwrap_or_default()) == issuer
}

fn in_tenant(template: &str, tenant: &str) -> String {
    template.replace(TENANT_ID, tenant)
}
