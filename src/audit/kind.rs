//! The kinds of audit events, with their names and meanings.

/// Declares [`Kind`] from a table of names and meanings.
macro_rules! kinds {
    ($($kind:ident: $name:literal, $meaning:literal;)+) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $meaning] $kind,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// Its name in the trail.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    Registered: "registered", "An account was registered.";
    LoginStarted: "login_started", "A user signed in.";
    LoginFailed: "login_failed", "A sign-in failed.";
    LoginLimited: "login_limited", "An attempt was rejected by a rate limit.";
    Logout: "logout", "A user signed out on a device.";
    LogoutAll: "logout_all", "A user signed out on all devices.";
    LoginEnded: "login_ended", "A user ended a login on another device.";
    RefreshTokenReused: "refresh_token_reused", "A replaced refresh token was used again: its login was ended.";
    PasswordChanged: "password_changed", "A user changed their password, which ends all other logins.";
    PasswordChangeFailed: "password_change_failed", "A signed-in user gave a wrong current password.";
    PasswordRemoved: "password_removed", "A user removed their password, which ends all other logins.";
    PasswordReset: "password_reset", "A user set a new password with a code by mail, which ends all logins.";
    EmailVerified: "email_verified", "A signed-in user proved their email.";
    EmailChanged: "email_changed", "A user changed their email to another proved one, which ends all other logins.";
    AddressProved: "address_proved", "A user proved their email by signing in, which removed the password and ended all other logins.";
    ChallengeFailed: "challenge_failed", "A wrong code was given.";
    FactorAdded: "factor_added", "A user enrolled a factor; the first second factor ends all other logins.";
    FactorRemoved: "factor_removed", "A user removed a factor, which ends all other logins.";
    RecoveryCodesRenewed: "recovery_codes_renewed", "A user made new recovery codes, which ends all other logins.";
    RecoveryCodeUsed: "recovery_code_used", "A recovery code took the place of a second factor.";
    SecondFactorFailed: "second_factor_failed", "A wrong code of a second factor was given.";
    PasskeyCounterBehind: "passkey_counter_behind", "The counter of a passkey or security key did not go up, so there may be a copy of it: its use was refused.";
    SteppedUp: "stepped_up", "A signed-in user stepped up.";
    HandoffCreated: "handoff_created", "A signed-in user made a code that hands the login off to the other mode.";
    HandoffRedeemed: "handoff_redeemed", "A login was handed off: it is presented in this mode as well.";
    SessionOpened: "session_opened", "An access token opened a session of its login, which replaces an earlier one.";
    StepUpFailed: "step_up_failed", "A step-up failed.";
    PasswordUpgraded: "password_upgraded", "A password was hashed again with the current settings.";
    TokenRevoked: "token_revoked", "A registered client ended the login of a token.";
    CustomTokenCreated: "custom_token_created", "A registered client created a token of its own.";
    CustomTokenRedeemed: "custom_token_redeemed", "A registered client redeemed a token of its own.";
    CustomTokenDeleted: "custom_token_deleted", "A registered client deleted a token of its own.";
    ClientRefused: "client_refused", "The authentication of a registered client failed.";
    UserCreated: "user_created", "An operator created an account.";
    UsersImported: "users_imported", "An operator imported accounts.";
    UserDisabled: "user_disabled", "An operator disabled a user, which ends every login.";
    UserEnabled: "user_enabled", "An operator enabled a user again.";
    UserEmailVerified: "user_email_verified", "An operator declared a user's email to be theirs.";
    UserLoggedOut: "user_logged_out", "An operator ended all logins of a user.";
    UserPasswordSet: "user_password_set", "An operator set a user's password, which ends every login.";
    UserDeleted: "user_deleted", "An operator deleted a user, which ends every login.";
    UserFactorsReset: "user_factors_reset", "An operator removed all second factors and passkeys of a user, which ends every login.";
    UserUnlocked: "user_unlocked", "An operator reset a user's failed sign-ins.";
    RoleAdded: "role_added", "An operator added a role to a user.";
    RoleRemoved: "role_removed", "An operator removed a role from a user.";
    ClientCreated: "client_created", "An operator registered a client.";
    ClientDeleted: "client_deleted", "An operator deleted a client.";
    MailFailed: "mail_failed", "A mail was given up: the server refused it for good, or it could not be sent before it expired.";
    KeyRotated: "key_rotated", "A new key signs access tokens from now on.";
    KeyRetired: "key_retired", "An operator retired a key: tokens that it has signed are rejected.";
    KeysReset: "keys_reset", "An operator replaced all keys: all tokens signed so far are rejected.";
}

impl Kind {
    /// The kind with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether unauthenticated clients can cause it without limit, at no cost.
    pub(super) fn is_unauthenticated(self) -> bool {
        matches!(self, Self::ClientRefused | Self::LoginLimited)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| Kind::of_name(kind.as_str()) == Some(*kind)));
        assert_eq!(Kind::of_name("LOGOUT"), None);
    }
}
