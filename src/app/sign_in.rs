//! Puts the sign-in together: the factors that the settings allow, over what they share.

use std::sync::Arc;

use crate::auth::ReturnTo;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::ConnectionPool;
use crate::factors::email_code::EmailCodeFactor;
use crate::factors::passkey::{PasskeyFactor, RelyingParty};
use crate::factors::password::PasswordFactor;
use crate::factors::provider::{Identities, ProviderAttempts, Providers};
use crate::factors::second_factor::SecondFactors;
use crate::factors::{FactorContext, RemovalRules};
use crate::mail::Mails;
use crate::network_rate_limits::Limits;
use crate::sign_in::SignIn;

use super::public_url::PublicUrl;
use super::state::{State, origins};

/// The sign-in over the services of `state`.
#[expect(clippy::too_many_arguments, reason = "called once")]
pub(super) fn new_sign_in(
    state: &State,
    pool: &ConnectionPool,
    config: &Config,
    limits: Limits,
    secret: &AppSecret,
    public_url: &PublicUrl,
    providers: &Providers,
    clock: &Clock,
) -> SignIn {
    let State { accounts, logins, mails, challenges, trail, metrics, .. } = state.clone();
    let context = FactorContext {
        pool: pool.clone(),
        challenges: Arc::clone(&challenges),
        limit: limits.login.clone(),
        removal: removal_rules(config, &mails),
        mails: Arc::clone(&mails),
        clock: clock.clone(),
        logins: logins.clone(),
        trail: trail.clone(),
        metrics: metrics.clone(),
        secret,
    };
    SignIn {
        password: PasswordFactor::new(&context, accounts.hasher().clone(), config.passwords.min_length),
        email_code: EmailCodeFactor::new(
            &context,
            config.challenges.email_sign_in,
            step_up_providers(providers),
        ),
        second_factors: SecondFactors::new(&context, public_url.host()),
        passkeys: relying_party(config, public_url, secret).map(|party| PasskeyFactor::new(&context, party)),
        provider_attempts: ProviderAttempts::new(&context, providers.clone()),
        identities: Identities::new(pool.clone(), secret),
        return_to: ReturnTo::new(origins(config, public_url), config.return_to.clone()),
        challenges,
        mails,
        registration: config.challenges.registration,
        accounts,
        logins,
        limits,
        second_factor_required: config.challenges.second_factor_required,
        step_up_max_age: config.step_up_max_age,
        clock: clock.clone(),
        trail,
        metrics,
    }
}

/// The names of the providers that somebody can authenticate again by.
fn step_up_providers(providers: &Providers) -> Vec<String> {
    let telling = providers.iter().filter(|provider| provider.tells_when());
    telling.map(|provider| provider.name().to_owned()).collect()
}

fn removal_rules(config: &Config, mails: &Mails) -> RemovalRules {
    RemovalRules {
        rp_id: config.passkeys.rp_id.clone(),
        providers: config.providers.iter().map(|provider| provider.name.clone()).collect(),
        codes_sign_in: config.challenges.email_sign_in && mails.is_on(),
        second_factor_required: config.challenges.second_factor_required,
    }
}

/// `None`: the service is reached by an address, for which there are no passkeys.
fn relying_party(config: &Config, public_url: &PublicUrl, secret: &AppSecret) -> Option<RelyingParty> {
    let origins = config.passkeys.origins_or(&public_url.origins);
    let timeout = config.challenges.ttl;
    config.passkeys.rp_id.clone().map(|id| RelyingParty::new(id, origins, secret, timeout))
}
