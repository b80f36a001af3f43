//! The pages in a real browser, used as people use them.

mod axe;
mod base_path;
pub mod comparison;
mod driver;
mod playground;
mod swagger;
