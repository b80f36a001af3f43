//! What every factor works with.

use std::sync::Arc;

use crate::audit::Trail;
use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::crypto::AppSecret;
use crate::database::ConnectionPool;
use crate::logins::Logins;
use crate::mail::Mails;
use crate::metrics::Metrics;
use crate::network_rate_limits::Limiter;

use super::RemovalRules;

/// The dependencies of a factor.
pub struct FactorContext<'a> {
    /// The database of the users.
    pub pool: ConnectionPool,
    /// The challenges that factors are proved and enrolled by.
    pub challenges: Arc<Challenges>,
    /// The mails of codes and notices.
    pub mails: Arc<Mails>,
    /// `LOGIN_LIMIT`.
    pub limit: Limiter,
    /// What must be left of an account's factors.
    pub removal: RemovalRules,
    /// The clock.
    pub clock: Clock,
    /// The logins that a change of a factor ends.
    pub logins: Logins,
    /// The audit trail.
    pub trail: Trail,
    /// The counters of tries.
    pub metrics: Metrics,
    /// The secret from which it derives its keys.
    pub secret: &'a AppSecret,
}
