//! The built-in pages in a real browser.

mod axe;
mod base_path;
pub mod comparison;
mod driver;
mod playground;
mod swagger;
