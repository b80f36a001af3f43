//! What must be left of an account's factors once one is removed. `may_remove_factor` in the migrations applies it.

/// The settings on which it depends.
#[derive(Clone, Debug)]
pub struct RemovalRules {
    /// The relying party id that passkeys are good for today. `None`: for none.
    pub rp_id: Option<String>,
    /// Whether a code by mail signs in: `EMAIL_SIGN_IN`, and mails are on.
    pub codes_sign_in: bool,
    /// Whether the last second factor has to stay: `SECOND_FACTOR=required`.
    pub second_factor_required: bool,
}
