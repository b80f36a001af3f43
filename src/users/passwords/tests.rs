//! Tests of checking passwords against stored hashes, and of the cost.

use super::*;

const PASSWORD: &str = "a quiet lantern over the weir";

/// Contains two kinds of characters that NFKC changes.
const TYPED: &str = "ﬁne cafe\u{301} under the weir";

/// Django's PBKDF2 with 1,000 iterations: `PBKDF2PasswordHasher().encode(password, "saltsaltsalt", iterations=1000)`.
const LEGACY: &str = "pbkdf2_sha256$1000$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=";
const LEGACY_OF_TYPED: &str = "pbkdf2_sha256$1000$saltsaltsalt$oYdTjyg0ZrdFtsgx+w5BJ9MpNsoqRHuNCUvNQwvDZ7o=";

/// `argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(TYPED)`
const ARGON2_OF_TYPED: &str =
    "$argon2id$v=19$m=64,t=1,p=1$7pqUzGbCKwUiby9cv3LVVg$U9qvTJri9d1wIqwjyt5GlHAvPBS+TGNaGUtJjRtq3Aw";

fn hasher(memory: u32, iterations: u32) -> PasswordHasher {
    let argon2 = Params::new(memory, iterations, 1, None).expect("small but valid");
    PasswordHasher::new(&PasswordConfig { min_length: 15, argon2, concurrency: 1 }, ThreadPriority::Normal)
        .expect("a thread")
}

async fn verify(hasher: &PasswordHasher, password: &str, stored: Option<&str>) -> PasswordCheck {
    hasher.acquire_slot().expect("a place").verify(password, stored).await.expect("an answer")
}

/// Whether the password is right, and the number of argon2 computations.
async fn cost(hasher: &PasswordHasher, password: &str, stored: Option<&str>) -> (bool, u64) {
    let before = hasher.load().computed;
    let verdict = verify(hasher, password, stored).await;
    (matches!(verdict, PasswordCheck::Right { .. }), hasher.load().computed - before)
}

/// The upgrade after a right password.
async fn upgrade(hasher: &PasswordHasher, password: &str, stored: &str) -> Option<String> {
    match verify(hasher, password, Some(stored)).await {
        PasswordCheck::Right { upgrade } => upgrade,
        _ => panic!("{stored} is not the hash of {password}"),
    }
}

#[tokio::test]
async fn a_password_verifies_against_its_own_hash_only() {
    let hasher = hasher(64, 1);
    let stored = hasher.hash(PASSWORD).await.expect("a hash");
    assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
    assert_ne!(hasher.hash(PASSWORD).await.expect("a hash"), stored, "each has a salt of its own");
    assert!(matches!(verify(&hasher, PASSWORD, Some(&stored)).await, PasswordCheck::Right { upgrade: None }));
    assert!(matches!(verify(&hasher, "another password", Some(&stored)).await, PasswordCheck::Wrong));
    assert!(matches!(verify(&hasher, PASSWORD, None).await, PasswordCheck::Wrong));
}

#[tokio::test]
async fn forms_of_one_text_are_one_password() {
    let hasher = hasher(64, 1);
    let stored = hasher.hash(TYPED).await.expect("a hash");
    for form in [TYPED, "fine caf\u{e9} under the weir", "ｆｉｎｅ caf\u{e9} under the weir"] {
        assert!(matches!(verify(&hasher, form, Some(&stored)).await, PasswordCheck::Right { upgrade: None }));
    }
}

#[tokio::test]
async fn what_others_hashed_as_it_was_typed_verifies_and_its_forms_are_one_from_then_on() {
    let hasher = hasher(64, 2);
    for stored in [LEGACY_OF_TYPED, ARGON2_OF_TYPED] {
        let normal = "fine caf\u{e9} under the weir";
        assert!(matches!(verify(&hasher, normal, Some(stored)).await, PasswordCheck::Wrong));
        let stored = upgrade(&hasher, TYPED, stored).await.expect("another hash");
        for form in [TYPED, normal] {
            assert_eq!(upgrade(&hasher, form, &stored).await, None);
        }
    }
}

#[tokio::test]
async fn a_hash_is_replaced_when_it_is_of_another_kind_or_the_settings_rose() {
    let today = hasher(64, 2);
    let (weaker, smaller) = (hasher(64, 1), hasher(32, 2));
    let stronger = hasher(128, 3);
    let mut stored = vec![LEGACY.to_owned()];
    for other in [&weaker, &smaller, &stronger] {
        stored.push(other.hash(PASSWORD).await.expect("a hash"));
    }
    for hash in &stored[..3] {
        let new = upgrade(&today, PASSWORD, hash).await.expect("another hash");
        assert!(new.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{new}");
        assert_eq!(upgrade(&today, PASSWORD, &new).await, None);
    }
    assert_eq!(upgrade(&today, PASSWORD, &stored[3]).await, None, "none is made weaker");
}

#[tokio::test]
async fn a_wrong_password_never_costs_less_than_an_unknown_user() {
    let hasher = hasher(64, 2);
    let ours = hasher.hash(PASSWORD).await.expect("a hash");
    let weaker = self::hasher(64, 1).hash(PASSWORD).await.expect("a hash");
    for (wrong, once) in [("another password", 1), (TYPED, 2)] {
        assert_eq!(cost(&hasher, wrong, None).await, (false, once));
        assert_eq!(cost(&hasher, wrong, Some(&ours)).await, (false, once));
        assert_eq!(cost(&hasher, wrong, Some(LEGACY)).await, (false, once), "and PBKDF2 besides");
        assert_eq!(cost(&hasher, wrong, Some(&weaker)).await, (false, 2 * once));
        assert_eq!(cost(&hasher, wrong, Some("no hash")).await, (false, once));
        assert_eq!(cost(&hasher, wrong, Some(NO_PASSWORD)).await, (false, once));
    }
    assert_eq!(cost(&hasher, PASSWORD, Some(&ours)).await, (true, 1));
    assert_eq!(cost(&hasher, PASSWORD, Some(LEGACY)).await, (true, 1));
}

#[tokio::test]
async fn what_can_not_be_verified_is_told_apart_from_a_wrong_password() {
    let hasher = hasher(64, 2);
    for hostile in
        ["$argon2id$v=19$m=4294967295,t=4294967295,p=1$c2l4dGVlbiBieXRlIHNsdA$SZ/gSHVHL7NOnoFJ", "-"]
    {
        assert!(
            matches!(verify(&hasher, PASSWORD, Some(hostile)).await, PasswordCheck::Unusable(_)),
            "{hostile}"
        );
    }
}

#[test]
fn about_two_seconds_of_work_may_wait_whatever_a_hash_costs() {
    let queue =
        |memory, iterations| queue_per_thread(&Params::new(memory, iterations, 1, None).expect("valid"));
    assert_eq!(queue(19_456, 2), 64);
    assert_eq!(queue(65_536, 3), 12);
    assert_eq!([queue(64, 1), queue(262_144, 16)], [64, 4]);
}
