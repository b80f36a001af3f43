//! The Git commit that the program was built from.
//!
//! Read from Git's reflog of HEAD, which Git appends to whenever HEAD changes. Because it is included here, a new commit
//! recompiles this crate and not the library. Without a reflog, `build.rs` writes a file in the same format.

/// A line for each change of HEAD, the latest at the end: the old hash, a space, the new hash, a space, and more.
const REFLOG: &[u8] = include_bytes!(env!("HEAD_REFLOG"));

/// The commit's full hash in hexadecimal, or `unknown`.
pub(crate) const COMMIT: &str = match std::str::from_utf8(&HASH) {
    Ok(commit) => commit,
    Err(_) => "unknown",
};

/// A copy: a part of the reflog would bring all of it into the program, with the names of who committed.
const HASH: [u8; newest(REFLOG).len()] = copy(newest(REFLOG).as_bytes());

const fn copy<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut copied = [0; N];
    copied.copy_from_slice(bytes);
    copied
}

/// The new hash in the last line.
const fn newest(log: &[u8]) -> &str {
    let mut end = log.len();
    while end > 0 && log[end - 1] == b'\n' {
        end -= 1;
    }
    let mut line = end;
    while line > 0 && log[line - 1] != b'\n' {
        line -= 1;
    }
    let mut start = line;
    while start < end && log[start] != b' ' {
        start += 1;
    }
    start += 1;
    let mut after = start;
    while after < end && log[after].is_ascii_hexdigit() {
        after += 1;
    }
    // SHA-1, or SHA-256.
    if after < start + 40 {
        return "unknown";
    }
    match std::str::from_utf8(log.split_at(after).0.split_at(start).1) {
        Ok(commit) => commit,
        Err(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3f786850e387550fdab836ed7e6dc881de23001b";
    const B: &str = "89e6c98d92887913cadf06b2adb97f26cde4849b";

    #[test]
    fn the_last_line_says_which_commit_is_checked_out() {
        let one = format!("{A} {B} Ada <ada@example.org> 1795752263 +0000\tcommit: {A}\n");
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (log, commit) in [
            (one.clone(), B),
            (one.trim_end().to_owned(), B),
            (format!("{one}{B} {A} Ada <a> 0 +0000\treset: moving to HEAD\n\n"), A),
            (format!("{A} {sha256} Ada\n"), sha256),
            (format!(" {A}\n"), A),
            (String::new(), "unknown"),
            ("\n".to_owned(), "unknown"),
            (A.to_owned(), "unknown"),
            (format!("{A} \n"), "unknown"),
            (format!("{A} {}\n", &B[..39]), "unknown"),
            (format!("{A} name {B}\n"), "unknown"),
        ] {
            assert_eq!(newest(log.as_bytes()), commit, "{log:?}");
        }
    }
}
