//! The pages in a real browser, used as people use them.

mod axe;
mod driver;
mod playground;
mod swagger;
