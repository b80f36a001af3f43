//! Where users are read from: a file, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// How much is looked at to tell the format, in bytes.
const HEAD: u64 = 16 * 1024;

/// What spreadsheets begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of which the beginning is known.
pub(super) struct ImportFile {
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    /// In bytes, if it is known.
    pub(super) size: Option<u64>,
}

impl ImportFile {
    /// `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin()), None);
        }
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Self::new(Box::new(file), Some(size))
    }

    fn new(mut reader: Box<dyn Read + Send>, size: Option<u64>) -> io::Result<Self> {
        let mut head = Vec::new();
        (&mut reader).take(HEAD).read_to_end(&mut head)?;
        if head.starts_with(BYTE_ORDER_MARK) {
            head.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Self { head, rest: reader, size })
    }

    /// The first bytes, without a byte order mark.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// All of it.
    pub(super) fn reader(self) -> Box<dyn BufRead + Send> {
        Box::new(BufReader::new(Cursor::new(self.head).chain(self.rest)))
    }
}
