//! The input of an import: a file or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// How much of the file is used to detect the format, in bytes.
const HEAD: u64 = 16 * 1024;

/// The UTF-8 byte order mark, which spreadsheets write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An input whose beginning was read ahead.
pub(super) struct ImportFile {
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    /// The size in bytes, if it is known.
    pub(super) size: Option<u64>,
}

impl ImportFile {
    /// Opens a file; `-` is standard input.
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

    /// A reader of the whole input, without a byte order mark.
    pub(super) fn reader(self) -> Box<dyn BufRead + Send> {
        Box::new(BufReader::new(Cursor::new(self.head).chain(self.rest)))
    }
}
