//! The kinds of events, each with its name in the trail and what it means.

/// Declares [`Kind`] from a table: each kind's name in the trail, and what it means.
macro_rules! kinds {
    ($($kind:ident: $name:literal, $meaning:literal;)+) => {
        /// What kind of event it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $meaning] $kind,)+
        }

        impl Kind {
            /// Each of them.
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
    Registered: "registered", "Somebody opened an account.";
    LoginStarted: "login_started", "Somebody signed in.";
    LoginFailed: "login_failed", "Somebody did not prove who they are.";
    LoginLimited: "login_limited", "Somebody tried too often, and was not listened to.";
    Logout: "logout", "Somebody signed out on a device.";
    LogoutAll: "logout_all", "Somebody signed out everywhere.";
    LoginEnded: "login_ended", "Somebody ended a login of theirs from another device.";
    RefreshTokenReused: "refresh_token_reused", "A refresh token was used again after its successor had taken over: its login was ended.";
    PasswordChanged: "password_changed", "Somebody changed their password, which ends every other login.";
    PasswordChangeFailed: "password_change_failed", "Somebody who is signed in gave a wrong current password.";
    SteppedUp: "stepped_up", "Somebody who is signed in proved once more to be who they are.";
    StepUpFailed: "step_up_failed", "Somebody who is signed in did not.";
    PasswordUpgraded: "password_upgraded", "A password was hashed anew, by what is set now.";
    TokenRevoked: "token_revoked", "A service ended the login behind a token.";
    ClientRefused: "client_refused", "Somebody did not prove to be a registered service.";
    UserCreated: "user_created", "An operator opened an account.";
    UsersImported: "users_imported", "An operator brought accounts from elsewhere.";
    UserDisabled: "user_disabled", "An operator disabled a user, which ends every login.";
    UserEnabled: "user_enabled", "An operator enabled a user again.";
    UserLoggedOut: "user_logged_out", "An operator signed a user out everywhere.";
    UserPasswordSet: "user_password_set", "An operator set a user's password, which ends every login.";
    UserDeleted: "user_deleted", "An operator deleted a user, which ends every login.";
    UserUnlocked: "user_unlocked", "An operator had a user's failures forgotten.";
    RoleAdded: "role_added", "An operator gave a user a role.";
    RoleRemoved: "role_removed", "An operator took a role from a user.";
    ClientCreated: "client_created", "An operator registered a service.";
    ClientDeleted: "client_deleted", "An operator had a service forgotten.";
    KeyRotated: "key_rotated", "Another key signs access tokens from then on.";
    KeyRetired: "key_retired", "An operator had what a key signed refused.";
    KeysReset: "keys_reset", "An operator had new keys made, and all that was signed refused.";
}

impl Kind {
    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether strangers can cause it as often as they like, since it costs neither them nor us a thing.
    pub(super) fn is_free(self) -> bool {
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
