//! The bytes of a file of Parquet, within bounds: it may come from anywhere.
//!
//! The library makes room for as much as the header of a page asks for, and a page of a few bytes may
//! ask for 2 GB. Some encodings make a long text of each of many small values. So each header is read
//! here before the library reads it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::Result;
use parquet::file::FOOTER_SIZE;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a page without compression, and of the pages of all columns that are open at a time. Ours
/// have at most a batch of rows and one long record.
const MAX_PAGE: i64 = 64 << 20;
/// Bytes of the page of texts that are there once for many rows, and of those of all columns. Those of all
/// writers have 1 MB, and what was collected until that was noticed.
const MAX_DICTIONARY: i64 = 8 << 20;
/// Bytes of the description of the file at its end: enough for a thousand groups of rows.
const MAX_FOOTER: u32 = 16 << 20;
/// The last bytes of a whole file.
const PARQUET_END: &[u8] = b"PAR1";

/// Types of the fields of a header, and of the structs that it holds, in Thrift's compact protocol: the
/// distance from the field before, and the type.
const NEXT_NUMBER: u8 = 0x15;
const STRUCT: u8 = 0x0c;

/// Encodings that need no more memory than the page: plain, by dictionary, runs, differences of numbers.
const ENCODINGS: [i64; 5] = [0, 2, 3, 5, 8];

/// Kind of a page of texts that are there once for many rows.
const DICTIONARY: i64 = 2;

/// A file whose pages are checked before they are read.
pub(super) struct BoundedFile {
    file: File,
    pages: Arc<OpenPages>,
}

impl BoundedFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            pages: Arc::default(),
        }
    }

    /// Returns the pages that are open, to which the places of the columns must be added before any of
    /// them is read.
    pub(super) fn pages(&self) -> Arc<OpenPages> {
        self.pages.clone()
    }
}

/// The part of a column in a group of rows.
#[derive(Debug)]
struct Chunk {
    place: Range<u64>,
    column: usize,
}

/// The pages that are in memory: one of each column that is read, and its dictionary. Each of them may be
/// within its bounds, and all together fill the memory.
#[derive(Debug, Default)]
pub(super) struct OpenPages {
    chunks: OnceLock<Vec<Chunk>>,
    /// Bytes of page and dictionary by column.
    sizes: Mutex<HashMap<usize, [i64; 2]>>,
}

impl OpenPages {
    /// Sets the places of the columns that are read.
    ///
    /// # Errors
    /// If two have bytes in common: no writer does that, and their pages could not be told apart.
    pub(super) fn set_places(
        &self,
        places: impl Iterator<Item = (usize, Range<u64>)>,
    ) -> Result<(), String> {
        let chunk = |(column, place)| Chunk { place, column };
        let mut chunks: Vec<Chunk> = places.map(chunk).collect();
        chunks.sort_by_key(|chunk| chunk.place.start);
        let overlap = |pair: &[Chunk]| pair[1].place.start < pair[0].place.end;
        match chunks.windows(2).any(overlap) || self.chunks.set(chunks).is_err() {
            true => Err("it is damaged: its columns overlap".to_owned()),
            false => Ok(()),
        }
    }

    /// Notes that a page is read in place of the one before.
    ///
    /// # Errors
    /// If the pages of all columns are too large together.
    fn open(&self, begin: u64, page: &PageHeader) -> Result<(), String> {
        let chunks = self.chunks.get().map(Vec::as_slice).unwrap_or_default();
        let after = chunks.partition_point(|chunk| chunk.place.start <= begin);
        let chunk = after.checked_sub(1).and_then(|before| chunks.get(before));
        let chunk = chunk.filter(|chunk| begin < chunk.place.end);
        let chunk = chunk.ok_or("it is damaged: a page is in no column")?;
        let mut sizes = self.sizes.lock();
        let size = sizes.entry(chunk.column).or_default();
        if begin == chunk.place.start {
            *size = [0, 0];
        }
        size[usize::from(page.kind == DICTIONARY)] = page.size;
        let sum = |kind: usize| sizes.values().map(|size| size[kind]).sum::<i64>();
        for (kind, most) in [(0, MAX_PAGE), (1, MAX_DICTIONARY)] {
            if sum(kind) > most {
                let limit = most >> 20;
                return Err(format!(
                    "the pages of its columns are longer than {limit} MB together"
                ));
            }
        }
        Ok(())
    }
}

impl Length for BoundedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for BoundedFile {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> Result<HeaderReader> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        let unchecked = match start + FOOTER_SIZE as u64 == self.len() {
            true => Unchecked::Footer,
            false => Unchecked::Page {
                start,
                pages: self.pages(),
            },
        };
        Ok(HeaderReader {
            input: BufReader::new(file),
            unchecked: Some(unchecked),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// The next bytes of a file.
enum Unchecked {
    Footer,
    /// The header of a page.
    Page {
        start: u64,
        pages: Arc<OpenPages>,
    },
}

impl Unchecked {
    fn check(self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Footer => check_footer(bytes),
            Self::Page { start, pages } => pages.open(start, &check_page(bytes)?),
        }
    }
}

/// A header to be read, or the end of the file.
pub(super) struct HeaderReader {
    input: BufReader<File>,
    /// The bytes to check, until that is done.
    unchecked: Option<Unchecked>,
}

impl Read for HeaderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(unchecked) = self.unchecked.take() {
            let checked = unchecked.check(self.input.fill_buf()?);
            checked.map_err(io::Error::other)?;
        }
        self.input.read(buffer)
    }
}

fn check_footer(footer: &[u8]) -> Result<(), String> {
    if !footer.ends_with(PARQUET_END) {
        return Err("is cut short, or is no Parquet file".to_owned());
    }
    match footer.first_chunk() {
        Some(length) if u32::from_le_bytes(*length) > MAX_FOOTER => Err(format!(
            "its description is longer than {} MB",
            MAX_FOOTER >> 20
        )),
        _ => Ok(()),
    }
}

/// Checks the beginning of a page's header, whose fields all writers write in this order.
fn check_page(header: &[u8]) -> Result<PageHeader, String> {
    let page = PageHeader::parse(header).ok_or("the header of a page is damaged")?;
    let most = match page.kind {
        DICTIONARY => MAX_DICTIONARY,
        _ => MAX_PAGE,
    };
    if page.size > most || page.compressed_size > most {
        return Err(format!("a page is longer than {} MB", most >> 20));
    }
    if !ENCODINGS.contains(&page.encoding) {
        return Err(format!("the encoding {} is not read", page.encoding));
    }
    // Every value of a dictionary is there.
    if page.kind == DICTIONARY && page.values > page.size {
        return Err("the header of a page is damaged".to_owned());
    }
    Ok(page)
}

/// Claims of a page's header.
#[derive(Debug, PartialEq, Eq)]
struct PageHeader {
    kind: i64,
    size: i64,
    compressed_size: i64,
    values: i64,
    encoding: i64,
}

impl PageHeader {
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let kind = next_number(&mut bytes)?;
        let size = next_number(&mut bytes)?;
        let compressed_size = next_number(&mut bytes)?;
        let mut field = 3;
        if bytes.first() == Some(&NEXT_NUMBER) {
            let _checksum = next_number(&mut bytes)?;
            field = 4;
        }
        // Fields of the header that holds more about each kind of page, and numbers before its encoding.
        let (holder, between) = match kind {
            0 => (5, 0),
            2 => (7, 0),
            3 => (8, 2),
            _ => return None,
        };
        let (&begin, rest) = bytes.split_first()?;
        bytes = rest;
        if begin != (holder - field) << 4 | STRUCT {
            return None;
        }
        let values = next_number(&mut bytes)?;
        for _ in 0..between {
            next_number(&mut bytes)?;
        }
        let encoding = next_number(&mut bytes)?;
        let is_possible = size >= 0 && compressed_size >= 0 && values >= 0;
        is_possible.then_some(Self {
            kind,
            size,
            compressed_size,
            values,
            encoding,
        })
    }
}

/// Reads the next field, a number of 32 bits.
fn next_number(bytes: &mut &[u8]) -> Option<i64> {
    let (&begin, rest) = bytes.split_first()?;
    if begin != NEXT_NUMBER {
        return None;
    }
    *bytes = rest;
    let mut number = 0_u64;
    for place in 0..5 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            // Zigzag: the sign is the last bit.
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{OpenPages, check_page};

    fn number(field: u8, number: i64) -> Vec<u8> {
        let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
        let mut bytes = vec![field];
        while zigzag >= 0x80 {
            bytes.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    }

    /// The header of a page: its kind, sizes, the field that begins the struct, and its numbers.
    fn header(kind: i64, size: i64, holder: u8, numbers: &[i64]) -> Vec<u8> {
        let mut bytes = [number(0x15, kind), number(0x15, size), number(0x15, 10)].concat();
        bytes.push(holder);
        for value in numbers {
            bytes.extend(number(0x15, *value));
        }
        bytes
    }

    #[test]
    fn a_page_asks_for_no_more_than_is_allowed() {
        for (kind, size, holder, numbers) in [
            (0, 64 << 20, 0x2c, vec![5, 0]),
            (0, 0, 0x2c, vec![1 << 30, 8]),
            (2, 8 << 20, 0x4c, vec![1000, 2]),
            (3, 1000, 0x5c, vec![5, 1, 5, 5]),
        ] {
            let header = header(kind, size, holder, &numbers);
            assert!(check_page(&header).is_ok(), "{kind}");
            for length in 0..header.len() {
                assert!(check_page(&header[..length]).is_err(), "{kind} {length}");
            }
        }
        for (kind, size, holder, numbers, reason) in [
            (0, (64 << 20) + 1, 0x2c, vec![5, 0], "longer than 64 MB"),
            (
                0,
                i64::from(i32::MAX),
                0x2c,
                vec![5, 0],
                "longer than 64 MB",
            ),
            (2, (8 << 20) + 1, 0x4c, vec![5, 0], "longer than 8 MB"),
            (2, 1000, 0x4c, vec![i64::from(i32::MAX), 0], "damaged"),
            (0, -1, 0x2c, vec![5, 0], "damaged"),
            (0, 10, 0x2c, vec![-5, 0], "damaged"),
            (0, 10, 0x3c, vec![5, 0], "damaged"),
            (1, 10, 0x3c, vec![5, 0], "damaged"),
            (0, 10, 0x2c, vec![5, 6], "encoding 6"),
            (3, 10, 0x5c, vec![5, 0, 5, 7], "encoding 7"),
        ] {
            let error = check_page(&header(kind, size, holder, &numbers)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_pages_of_all_columns_share_their_bounds() {
        let pages = OpenPages::default();
        let columns = (0..8).map(|column| (column, 100 * column as u64..100 * column as u64 + 100));
        assert_eq!(pages.set_places(columns), Ok(()));
        let page = |size| check_page(&header(0, size, 0x2c, &[5, 0])).unwrap();
        let dictionary = |size| check_page(&header(2, size, 0x4c, &[5, 0])).unwrap();
        for column in 0..6 {
            assert_eq!(pages.open(100 * column, &page(10 << 20)), Ok(()));
        }
        let error = pages.open(620, &page(5 << 20)).unwrap_err();
        assert!(error.contains("longer than 64 MB together"), "{error}");
        // The next page of a column takes the place of the one before.
        assert_eq!(pages.open(610, &page(4 << 20)), Ok(()));
        assert_eq!(pages.open(550, &page(1 << 20)), Ok(()));
        assert_eq!(pages.open(620, &page(10 << 20)), Ok(()));
        assert_eq!(pages.open(100, &dictionary(4 << 20)), Ok(()));
        assert_eq!(pages.open(200, &dictionary(4 << 20)), Ok(()));
        let error = pages.open(300, &dictionary(10)).unwrap_err();
        assert!(error.contains("longer than 8 MB together"), "{error}");
        assert!(pages.open(800, &page(1)).unwrap_err().contains("damaged"));
        let overlapping = [(0, 0..100), (1, 50..150)].into_iter();
        assert!(OpenPages::default().set_places(overlapping).is_err());
    }

    #[test]
    fn a_header_with_a_checksum_is_read_too() {
        let mut bytes = [
            number(0x15, 0),
            number(0x15, 10),
            number(0x15, 10),
            number(0x15, -7),
        ]
        .concat();
        bytes.push(0x1c);
        bytes.extend([number(0x15, 5), number(0x15, 7)].concat());
        assert!(check_page(&bytes).unwrap_err().contains("encoding 7"));
    }
}
