//! The pages in a real browser, used as people use them.

mod axe;
pub mod comparison;
mod driver;
mod playground;
mod swagger;
