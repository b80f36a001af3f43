//! The built-in pages in a real browser.

mod axe;
mod base_path;
mod codes_panel;
pub mod comparison;
mod driver;
mod factors_panel;
mod handoff_page;
mod keyboard;
mod mail_page;
mod native_example;
mod passkeys;
mod playground;
mod providers_panel;
mod sign_in_page;
mod swagger;
mod virtual_authenticator;
