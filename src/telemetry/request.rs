//! The request that is being answered: the id by which its lines are found, and who turned out to have sent it.

use std::cell::Cell;
use std::fmt;

use uuid::Uuid;

use crate::tokens::random_bytes;

/// Identifies a request: the trace id of W3C Trace Context, 16 bytes in hex. It is no secret, and nothing relies on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// The one that the client's `traceparent` carries (W3C Trace Context, section 3.2.2), so that one id leads through
    /// the logs of all services. `None` when that is not well formed, or of no meaning.
    pub fn of_traceparent(traceparent: &[u8]) -> Option<Self> {
        let (version, rest) = traceparent.split_first_chunk::<3>()?;
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let (parent, flags) = rest.split_first_chunk::<18>()?;
        let (flags, more) = flags.split_first_chunk::<2>()?;
        let is_first_version = version == b"00-";
        let ends = more.is_empty() || (!is_first_version && more.starts_with(b"-"));
        let is_well_formed = is_hex(&version[..2])
            && version != b"ff-"
            && version[2] == b'-'
            && is_hex(id)
            && [parent[0], parent[17]] == [b'-'; 2]
            && is_hex(&parent[1..17])
            && is_hex(flags)
            && ends;
        let means_nothing = |id: &[u8]| id.iter().all(|digit| *digit == b'0');
        (is_well_formed && !means_nothing(id) && !means_nothing(&parent[1..17])).then_some(Self(*id))
    }

    /// A new one.
    pub fn random() -> Self {
        let mut id = [0; 32];
        STATE.with(|state| {
            let [first, second] = state.get();
            state.set([first.wrapping_add(STEP), second.wrapping_add(STEP)]);
            write_hex(mix(first), &mut id[..16]);
            write_hex(mix(second), &mut id[16..]);
        });
        Self(id)
    }

    /// In hex.
    pub fn as_str(&self) -> &str {
        // It is made of hexadecimal digits.
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
    /// Where this thread is in its two sequences: the system's generator would be asked too often.
    static STATE: Cell<[u64; 2]> =
        Cell::new([u64::from_ne_bytes(random_bytes()), u64::from_ne_bytes(random_bytes())]);
}

/// Of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Its other half: neighbours in the sequence look nothing alike.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn write_hex(number: u64, into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in number.to_be_bytes().into_iter().zip(into.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Small letters only: others are not well formed.
fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Who sent a request, by ids that mean nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user.
    pub user: Uuid,
    /// The login that they sent it under.
    pub login: Uuid,
    /// The mode that presented it.
    pub mode: &'static str,
}

/// What a request's task carries along.
#[derive(Debug)]
struct Current {
    id: RequestId,
    who: Cell<Option<Who>>,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// Does the work of a request: whatever is logged meanwhile carries its id.
pub async fn answering<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(Current { id, who: Cell::default() }, work).await
}

/// Notes who sent the request that is being answered, for its access line.
pub fn note(who: Who) {
    // Outside of a request there is no such line.
    let _ = CURRENT.try_with(|current| current.who.set(Some(who)));
}

/// Who was noted.
pub fn noted() -> Option<Who> {
    CURRENT.try_with(|current| current.who.get()).ok().flatten()
}

/// The id of the request that is being answered; none between requests.
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
            // A later version may say more.
            &format!("01-{ID}-00f067aa0ba902b7-01"),
            &format!("cc-{ID}-00f067aa0ba902b7-01-what-comes-later"),
        ] {
            let read = RequestId::of_traceparent(traceparent.as_bytes());
            assert_eq!(read.as_ref().map(RequestId::as_str), Some(ID), "{traceparent}");
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
            assert_eq!(RequestId::of_traceparent(traceparent.as_bytes()), None, "{traceparent:?}");
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
            ids.inspect(|id| assert!(id.len() == 32 && is_hex(id.as_bytes()))).collect();
        assert_eq!(ids.len(), 4_000);
    }
}
