//! Context of the current request for logs: its id and its user.

use std::cell::{Cell, RefCell};
use std::fmt;

use fastrand::Rng;
use uuid::Uuid;

use crate::crypto::random_bytes;

/// The id of a request: a trace id of W3C Trace Context, 16 bytes in hex. It is not a secret, and nothing relies on
/// its uniqueness.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

/// The trace that a request is part of, from the header `traceparent` (W3C Trace Context, section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace id, used as the request id.
    pub id: RequestId,
    /// The id of the parent span.
    pub span: u64,
    /// The flag `sampled`: whether the trace is recorded.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Parses the header. `None` when it is not well-formed, or has an all-zero id.
    pub fn read(traceparent: &[u8]) -> Option<Self> {
        let (version, rest) = traceparent.split_first_chunk::<3>()?;
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let (span, rest) = rest.split_first_chunk::<18>()?;
        let (flags, more) = rest.split_first_chunk::<2>()?;
        let ends = more.is_empty() || (version != b"00-" && more.starts_with(b"-"));
        if !ends || version == b"ff-" || [version[2], span[0], span[17]] != [b'-'; 3] {
            return None;
        }
        hex(&version[..2])?;
        let (high, low, span, flags) = (hex(&id[..16])?, hex(&id[16..])?, hex(&span[1..17])?, hex(flags)?);
        let means_something = (high, low) != (0, 0) && span != 0;
        means_something.then_some(Self { id: RequestId(*id), span, is_sampled: flags & 1 == 1 })
    }
}

impl RequestId {
    /// A new random id.
    pub fn random() -> Self {
        let mut id = [0; 32];
        let [first, second] = random_pair();
        write_hex(first, &mut id[..16]);
        write_hex(second, &mut id[16..]);
        Self(id)
    }

    /// The id in hex.
    pub fn as_str(&self) -> &str {
        // Always hexadecimal digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

thread_local! {
    /// Random number generators of this thread, seeded by the system's, which would be too slow for every request.
    /// Two of them, since one has only 64 bits of state and an id has 128.
    static GENERATORS: RefCell<[Rng; 2]> =
        RefCell::new([random_bytes(), random_bytes()].map(|seed| Rng::with_seed(u64::from_ne_bytes(seed))));
}

/// Two random numbers, not for secrets.
pub(super) fn random_pair() -> [u64; 2] {
    GENERATORS.with_borrow_mut(|generators| generators.each_mut().map(|generator| generator.u64(..)))
}

fn write_hex(number: u64, into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in number.to_be_bytes().into_iter().zip(into.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Parses hexadecimal digits. Lower case only: Trace Context does not allow others.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// The user of a request, as ids that are meaningless elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestUser {
    /// The user's id.
    pub user: Uuid,
    /// The id of the login.
    pub login: Uuid,
    /// The mode of the credential.
    pub mode: &'static str,
}

/// The task-local context of a request.
#[derive(Debug)]
struct Current {
    id: RequestId,
    who: Cell<Option<RequestUser>>,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// Runs the work of a request with this id: lines that it logs have the id.
pub fn with_request_id<T>(id: RequestId, work: impl Future<Output = T>) -> impl Future<Output = T> {
    CURRENT.scope(Current { id, who: Cell::default() }, work)
}

/// Sets the user of the current request, for its access line.
pub fn set_user(who: RequestUser) {
    // Outside of a request there is no access line.
    let _ = CURRENT.try_with(|current| current.who.set(Some(who)));
}

/// The user of the current request, if set.
pub fn current_user() -> Option<RequestUser> {
    CURRENT.try_with(|current| current.who.get()).ok().flatten()
}

/// The id of the current request. `None` outside of one.
pub(super) fn current_id() -> Option<RequestId> {
    CURRENT.try_with(|current| current.id).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_well_formed_traceparent_names_the_request() {
        for traceparent in [
            &format!("00-{ID}-00f067aa0ba902b7-01"),
            &format!("00-{ID}-00f067aa0ba902b7-00"),
            &format!("00-{ID}-00f067aa0ba902b7-ff"),
            // A later version may add fields.
            &format!("01-{ID}-00f067aa0ba902b7-01"),
            &format!("cc-{ID}-00f067aa0ba902b7-01-what-comes-later"),
        ] {
            let read = TraceParent::read(traceparent.as_bytes()).expect("it is well formed");
            assert_eq!((read.id.as_str(), read.span), (ID, 0x00f0_67aa_0ba9_02b7), "{traceparent}");
            assert_eq!(read.is_sampled, !traceparent.ends_with("-00"), "{traceparent}");
        }
    }

    #[test]
    fn any_other_traceparent_is_not_looked_at() {
        for traceparent in [
            "",
            "00",
            ID,
            &format!("00-{ID}-00f067aa0ba902b7"),
            &format!("00-{ID}-00f067aa0ba902b7-"),
            &format!("00-{ID}-00f067aa0ba902b7-1"),
            &format!("00-{ID}-00f067aa0ba902b7-01-"),
            &format!("00-{ID}-00f067aa0ba902b7-01-more"),
            &format!("01-{ID}-00f067aa0ba902b7-01more"),
            &format!("ff-{ID}-00f067aa0ba902b7-01"),
            &format!("0-{ID}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{ID}-0000000000000000-01"),
            &format!("00-{ID}-00f067aa0ba902bg-01"),
            &format!("00-{ID}-00f067aa0ba902b7-0x"),
            &format!("00_{ID}-00f067aa0ba902b7-01"),
            &format!("00-{ID}_00f067aa0ba902b7-01"),
            &format!("00-{ID}-00f067aa0ba902b7_01"),
            &format!("00-{}\"\n-00f067aa0ba902b7-01", &ID[2..]),
            &format!(" 00-{ID}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(TraceParent::read(traceparent.as_bytes()), None, "{traceparent:?}");
        }
    }

    #[test]
    fn no_two_requests_share_an_id() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let ids = || (0..1_000).map(|_| RequestId::random().to_string()).collect::<Vec<_>>();
                std::thread::spawn(ids)
            })
            .collect();
        let ids = threads.into_iter().flat_map(|thread| thread.join().expect("no panic"));
        let ids: HashSet<String> =
            ids.inspect(|id| assert!(id.len() == 32 && hex(id.as_bytes()).is_some())).collect();
        assert_eq!(ids.len(), 4_000);
    }
}
