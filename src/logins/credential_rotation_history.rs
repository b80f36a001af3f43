//! Generations of a login's credential: which one is current, and which were replaced within the grace.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Maximum number of remembered replacements, so that a client's renewals can't make a row grow without limit.
pub(super) const MOST_REPLACED: i64 = 64;

/// The credentials of a login, numbered from 0 in the order of its renewals.
#[derive(Clone, Debug, Default)]
pub struct CredentialRotationHistory {
    /// The number of the current credential.
    pub current: i32,
    /// When the previous generations were replaced, newest first. Goes back only as far as the grace at the last
    /// renewal.
    pub(super) replaced_at: Vec<DateTime<Utc>>,
}

/// The status of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GenerationStatus {
    Current,
    /// It was replaced recently and is accepted like the current one until the given time.
    InGrace {
        until: DateTime<Utc>,
    },
    /// It was replaced longer ago than the grace.
    Replaced,
    /// It was replaced, and it is unknown when: more were replaced within the grace than are remembered.
    Unknown,
    /// It is newer than the known one: another node has renewed the login, or a failover lost the renewal.
    Newer,
}

impl CredentialRotationHistory {
    pub(super) fn status_of(&self, generation: i32, grace: Duration, now: DateTime<Utc>) -> GenerationStatus {
        let Ok(renewals) = usize::try_from(i64::from(self.current) - i64::from(generation)) else {
            return GenerationStatus::Newer;
        };
        let Some(before) = renewals.checked_sub(1) else { return GenerationStatus::Current };
        match self.replaced_at.get(before).map(|replaced_at| *replaced_at + grace) {
            Some(until) if now < until => GenerationStatus::InGrace { until },
            None if self.all_in_grace(grace, now) => GenerationStatus::Unknown,
            _ => GenerationStatus::Replaced,
        }
    }

    fn all_in_grace(&self, grace: Duration, now: DateTime<Utc>) -> bool {
        let oldest = self.replaced_at.get(MOST_REPLACED as usize - 1);
        oldest.is_some_and(|replaced_at| now < *replaced_at + grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn at(second: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// At generation 5. The replacements of generations 0 and 1 are no longer remembered.
    fn generations() -> CredentialRotationHistory {
        CredentialRotationHistory { current: 5, replaced_at: vec![at(100), at(90), at(60)] }
    }

    #[test]
    fn each_generation_has_its_own_grace() {
        let status = |generation, second| generations().status_of(generation, GRACE, at(second));
        assert_eq!(status(5, 1_000), GenerationStatus::Current);
        assert_eq!(status(4, 100), GenerationStatus::InGrace { until: at(130) });
        assert_eq!(status(4, 129), GenerationStatus::InGrace { until: at(130) });
        assert_eq!(status(4, 130), GenerationStatus::Replaced);
        assert_eq!(status(3, 119), GenerationStatus::InGrace { until: at(120) });
        assert_eq!(status(3, 120), GenerationStatus::Replaced);
        assert_eq!(status(2, 100), GenerationStatus::Replaced);
    }

    #[test]
    fn what_is_not_remembered_was_replaced_long_ago_and_what_is_newer_is_told_from_it() {
        let status = |generation| generations().status_of(generation, GRACE, at(100));
        assert_eq!([status(1), status(0), status(i32::MIN)], [GenerationStatus::Replaced; 3]);
        assert_eq!([status(6), status(i32::MAX)], [GenerationStatus::Newer; 2]);
    }

    #[test]
    fn of_more_than_are_remembered_nobody_knows_whether_they_are_over() {
        let many =
            CredentialRotationHistory { current: 100, replaced_at: vec![at(100); MOST_REPLACED as usize] };
        let status = |generation, second| many.status_of(generation, GRACE, at(second));
        assert_eq!(
            [status(36, 129), status(35, 129), status(0, 129)],
            [
                GenerationStatus::InGrace { until: at(130) },
                GenerationStatus::Unknown,
                GenerationStatus::Unknown
            ]
        );
        assert_eq!(status(35, 130), GenerationStatus::Replaced);
    }

    #[test]
    fn without_a_grace_nothing_that_was_replaced_is_good() {
        assert_eq!(generations().status_of(4, Duration::ZERO, at(100)), GenerationStatus::Replaced);
    }
}
