//! Columns of a Parquet file as plain numbers and words.
//!
//! Only the named columns are read. Sizes are checked before anything is decoded, so that a file
//! that is not what it seems costs neither memory nor time.

use super::OperatorsError;
use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;

/// Bytes of a file we read: the largest of the known tables has 5 MB.
const FILE_BYTES: u64 = 256 << 20;
/// Rows of a file we read: the largest of the known tables has 260 thousand.
const ROWS: i64 = 4 << 20;
/// Bytes of all columns once unpacked, as the file states them.
const UNPACKED_BYTES: i64 = 1 << 30;
/// Different words of a column.
const WORDS: usize = 1 << 12;
/// Rows decoded at a time.
const BATCH: usize = 1 << 14;

/// A column to read, with what an absent column counts as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<T> {
    name: &'static str,
    absent: Option<T>,
}

/// A column every table has.
pub(super) const fn column<T>(name: &'static str) -> Column<T> {
    Column { name, absent: None }
}

/// A column that older tables lack.
pub(super) const fn column_or<T>(name: &'static str, absent: T) -> Column<T> {
    Column { name, absent: Some(absent) }
}

/// The words of a column: few different ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    names: Vec<String>,
    codes: Vec<u16>,
}

impl Words {
    /// What each row's word means to the caller.
    pub(super) fn each<T: Copy>(&self, meaning: impl Fn(&str) -> T) -> Vec<T> {
        let meanings: Vec<T> = self.names.iter().map(|name| meaning(name)).collect();
        self.codes.iter().map(|code| meanings[usize::from(*code)]).collect()
    }

    fn push(&mut self, word: &str) -> Option<()> {
        // Neighbouring rows repeat.
        let last = self.codes.last().copied().filter(|code| self.names[usize::from(*code)] == word);
        let code = match last.or_else(|| self.names.iter().position(|n| n == word).map(|at| at as u16)) {
            Some(code) => code,
            None if self.names.len() < WORDS => {
                self.names.push(word.to_owned());
                (self.names.len() - 1) as u16
            }
            None => return None,
        };
        self.codes.push(code);
        Some(())
    }
}

/// What was read, in the order asked for.
#[derive(Clone, Debug)]
pub(super) struct Columns<const A: usize, const B: usize> {
    /// Columns of numbers.
    pub numbers: [Vec<f64>; A],
    /// Columns of words.
    pub words: [Words; B],
}

/// Reads columns of numbers and of words.
///
/// The decoder asserts what a sound file holds; that one does not is an error of the file, not ours.
pub(super) fn read<const A: usize, const B: usize>(
    path: &Path,
    numbers: [Column<f64>; A],
    words: [Column<&'static str>; B],
) -> Result<Columns<A, B>, OperatorsError> {
    let reading = AssertUnwindSafe(|| decode(path, numbers, words));
    std::panic::catch_unwind(reading).unwrap_or_else(|_| {
        Err(OperatorsError::Damaged {
            file: path.to_owned(),
            why: "its pages contradict themselves".to_owned(),
        })
    })
}

/// [`read`], but for files whose pages are sound.
fn decode<const A: usize, const B: usize>(
    path: &Path,
    numbers: [Column<f64>; A],
    words: [Column<&'static str>; B],
) -> Result<Columns<A, B>, OperatorsError> {
    let file = path.to_owned();
    let io = |source| OperatorsError::Unreadable { file: file.clone(), source };
    let damaged = |why: ParquetError| OperatorsError::Damaged { file: file.clone(), why: why.to_string() };
    let large = |what| OperatorsError::TooLarge { file: file.clone(), what };
    let source = File::open(path).map_err(io)?;
    if source.metadata().map_err(io)?.len() > FILE_BYTES {
        return Err(large("bytes"));
    }
    let reader = SerializedFileReader::new(source).map_err(damaged)?;
    let meta = reader.metadata();
    let rows = meta.file_metadata().num_rows();
    if !(0..=ROWS).contains(&rows) {
        return Err(large("rows"));
    }
    let groups = meta.row_groups();
    let unpacked = groups.iter().flat_map(RowGroupMetaData::columns).try_fold(0_i64, |sum, column| {
        sum.checked_add(column.uncompressed_size().max(0)).filter(|sum| *sum <= UNPACKED_BYTES)
    });
    if unpacked.is_none() || groups.len() > 1 << 12 {
        return Err(large("unpacked bytes"));
    }
    let schema = meta.file_metadata().schema_descr();
    let find = |name: &'static str| {
        (0..schema.num_columns()).find(|index| schema.column(*index).path().string() == name)
    };
    let missing = |column| OperatorsError::NoColumn { file: file.clone(), column };
    let wrong = |column, expected| OperatorsError::WrongColumn { file: file.clone(), column, expected };
    let rows = rows as usize;
    let mut read = Columns {
        numbers: std::array::from_fn(|_| Vec::new()),
        words: std::array::from_fn(|_| Words::default()),
    };
    for (column, into) in numbers.into_iter().zip(&mut read.numbers) {
        match (find(column.name), column.absent) {
            (Some(index), _) => {
                let of = |physical| {
                    matches!(physical, Physical::INT32 | Physical::INT64 | Physical::FLOAT | Physical::DOUBLE)
                };
                if !of(schema.column(index).physical_type()) {
                    return Err(wrong(column.name, "numbers"));
                }
                for group in 0..groups.len() {
                    let reader = reader.get_row_group(group).map_err(damaged)?;
                    let reader = reader.get_column_reader(index).map_err(damaged)?;
                    self::numbers(reader, rows, into).map_err(damaged)?;
                }
                if into.len() != rows {
                    return Err(wrong(column.name, "a number in every row"));
                }
            }
            (None, Some(value)) => *into = vec![value; rows],
            (None, None) => return Err(missing(column.name)),
        }
    }
    for (column, into) in words.into_iter().zip(&mut read.words) {
        match (find(column.name), column.absent) {
            (Some(index), _) => {
                if schema.column(index).physical_type() != Physical::BYTE_ARRAY {
                    return Err(wrong(column.name, "words"));
                }
                for group in 0..groups.len() {
                    let reader = reader.get_row_group(group).map_err(damaged)?;
                    let reader = reader.get_column_reader(index).map_err(damaged)?;
                    if !self::words(reader, rows, into).map_err(damaged)? {
                        return Err(wrong(column.name, "few different words in UTF-8"));
                    }
                }
                if into.codes.len() != rows {
                    return Err(wrong(column.name, "a word in every row"));
                }
            }
            (None, Some(word)) => *into = Words { names: vec![word.to_owned()], codes: vec![0; rows] },
            (None, None) => return Err(missing(column.name)),
        }
    }
    Ok(read)
}

/// Appends the numbers of one column of a row group.
fn numbers(reader: ColumnReader, rows: usize, into: &mut Vec<f64>) -> Result<(), ParquetError> {
    match reader {
        ColumnReader::Int32ColumnReader(reader) => batches(reader, |v| into.push(f64::from(*v)), rows),
        ColumnReader::Int64ColumnReader(reader) => batches(reader, |v| into.push(*v as f64), rows),
        ColumnReader::FloatColumnReader(reader) => batches(reader, |v| into.push(f64::from(*v)), rows),
        ColumnReader::DoubleColumnReader(reader) => batches(reader, |v| into.push(*v), rows),
        ColumnReader::BoolColumnReader(_)
        | ColumnReader::Int96ColumnReader(_)
        | ColumnReader::ByteArrayColumnReader(_)
        | ColumnReader::FixedLenByteArrayColumnReader(_) => Ok(()),
    }
}

/// Appends the words of one column of a row group; says whether all were words and few.
fn words(reader: ColumnReader, rows: usize, into: &mut Words) -> Result<bool, ParquetError> {
    let mut fine = true;
    if let ColumnReader::ByteArrayColumnReader(reader) = reader {
        let mut push = |word: &ByteArray| {
            fine = fine && word.as_utf8().ok().and_then(|word| into.push(word)).is_some();
        };
        batches(reader, &mut push, rows)?;
    }
    Ok(fine)
}

/// Hands every value of a column to `each`, at most so many.
fn batches<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    mut each: impl FnMut(&T::T),
    rows: usize,
) -> Result<(), ParquetError> {
    let (mut values, mut levels, mut seen) = (Vec::new(), Vec::new(), 0);
    while seen <= rows {
        values.clear();
        levels.clear();
        let (records, ..) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        values.iter().for_each(&mut each);
        seen += records;
    }
    Ok(())
}
