//! Logins in Postgres. Each change is one statement that touches live rows only, so that a request that read a login
//! before its end can't revive it. Never reads from a standby, which may not know of an end yet.

mod ends;
mod handoffs;
mod read;
mod renewals;
mod start;
mod sweep;

pub(super) use self::ends::{end, end_own};
pub(super) use self::handoffs::{
    NewPresentation, PresentedBy, find_by_code, insert_code, note_token, present,
};
pub(super) use self::read::{find, find_by_handle, list};
pub(super) use self::renewals::{RenewalKey, StepUpUpdate, renew, step_up, touch};
pub(super) use self::start::{Start, insert};
pub(super) use self::sweep::{Table, sweep};
