//! Values of a schema to JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Schema;
use super::schema::Kind;

/// Types in types that are followed at most.
const DEPTH_MAX: u32 = 100;
/// A value of more JSON than this is given up: a few bytes can say that there are very many nulls.
const TEXT_BYTES_MAX: usize = 4 << 20;

impl Schema {
    /// Writes a value as JSON text behind what is in `out`.
    ///
    /// # Errors
    /// What is wrong with the value; `out` then holds a part of it.
    pub fn json(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut reading = Reading { schema: self, rest: value, end: out.len() + TEXT_BYTES_MAX };
        reading.value(self.root, 0, out)?;
        match reading.rest.len() {
            0 => Ok(()),
            more => Err(format!("{more} bytes are left after the value")),
        }
    }
}

struct Reading<'a> {
    schema: &'a Schema,
    rest: &'a [u8],
    /// Where `out` must not get to.
    end: usize,
}

fn text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

fn number(number: f64, out: &mut Vec<u8>) {
    // What is not finite is written as null.
    let _ = serde_json::to_writer(out, &number);
}

impl<'a> Reading<'a> {
    fn value(&mut self, place: usize, depth: u32, out: &mut Vec<u8>) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} types in one another"));
        }
        if out.len() > self.end {
            return Err(format!("more than {TEXT_BYTES_MAX} bytes of JSON"));
        }
        match &self.schema.kinds[place] {
            Kind::Pending => return Err("a type that refers to nothing".to_owned()),
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => match self.take(1)? {
                [0] => out.extend_from_slice(b"false"),
                [1] => out.extend_from_slice(b"true"),
                _ => return Err("a boolean that is neither".to_owned()),
            },
            Kind::Int => out.extend_from_slice(self.int()?.to_string().as_bytes()),
            Kind::Float => {
                let bytes = self.take(4)?.try_into().unwrap_or_default();
                // Writing to memory can't fail; what is not finite is written as null.
                let _ = serde_json::to_writer(out, &f32::from_le_bytes(bytes));
            }
            Kind::Double => {
                number(f64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()), out);
            }
            Kind::Bytes => text(&STANDARD.encode(self.bytes()?), out),
            Kind::Fixed(size) => text(&STANDARD.encode(self.take(*size)?), out),
            Kind::String => {
                let bytes = self.bytes()?;
                text(std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")?, out);
            }
            Kind::Enum(symbols) => text(choice(symbols, self.int()?)?, out),
            Kind::Union(branches) => {
                let branch = *choice(branches, self.int()?)?;
                self.value(branch, depth + 1, out)?;
            }
            Kind::Record(fields) => {
                out.push(b'{');
                for (index, (name, kind)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    text(name, out);
                    out.push(b':');
                    self.value(*kind, depth + 1, out)?;
                }
                out.push(b'}');
            }
            Kind::Array(items) => self.blocks(*b"[]", *items, false, depth, out)?,
            Kind::Map(values) => self.blocks(*b"{}", *values, true, depth, out)?,
            Kind::Date => date(self.int()?, out)?,
            Kind::Moment { in_second, utc } => moment(self.int()?, *in_second, *utc, out)?,
            Kind::Decimal { scale, fixed } => {
                let bytes = match fixed {
                    Some(size) => self.take(*size)?,
                    None => self.bytes()?,
                };
                decimal(bytes, *scale, out);
            }
        }
        Ok(())
    }

    /// Items of a list, or of a map with their keys, which come in blocks.
    fn blocks(
        &mut self,
        ends: [u8; 2],
        of: usize,
        keyed: bool,
        depth: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        out.push(ends[0]);
        let mut first = true;
        loop {
            let mut count = self.int()?;
            if count < 0 {
                // The block's size in bytes, for those who skip it.
                self.int()?;
                count = count.checked_neg().ok_or("a block of too many items")?;
            }
            if count == 0 {
                out.push(ends[1]);
                return Ok(());
            }
            for _ in 0..count {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                if keyed {
                    let key = self.bytes()?;
                    text(std::str::from_utf8(key).map_err(|_| "a key that is not UTF-8")?, out);
                    out.push(b':');
                }
                self.value(of, depth + 1, out)?;
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        take(&mut self.rest, count)
    }

    fn int(&mut self) -> Result<i64, String> {
        int(&mut self.rest)
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let count = usize::try_from(self.int()?).map_err(|_| "a length below zero")?;
        self.take(count)
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = from.split_at_checked(count).ok_or("it ends in the middle")?;
    *from = rest;
    Ok(taken)
}

/// A whole number: zigzag, seven bits in a byte.
pub(crate) fn int(from: &mut &[u8]) -> Result<i64, String> {
    let mut bits = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = take(from, 1)?[0];
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            break;
        }
        bits |= part << shift;
        if byte < 0x80 {
            return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
        }
    }
    Err("a number of more than 64 bits".to_owned())
}

fn choice<T>(list: &[T], index: i64) -> Result<&T, String> {
    let place = usize::try_from(index).ok();
    let found = place.and_then(|place| list.get(place));
    found.ok_or_else(|| format!("choice {index} of {}", list.len()))
}

fn date(days: i64, out: &mut Vec<u8>) -> Result<(), String> {
    let second = days.checked_mul(86_400);
    let at = second.and_then(|second| Timestamp::from_second(second).ok());
    let at = at.ok_or_else(|| format!("day {days} is in no year"))?;
    text(&TimeZone::UTC.to_datetime(at).date().to_string(), out);
    Ok(())
}

fn moment(at: i64, in_second: i64, utc: bool, out: &mut Vec<u8>) -> Result<(), String> {
    let micros = if in_second > 1_000_000 {
        Some(at.div_euclid(in_second / 1_000_000))
    } else {
        at.checked_mul(1_000_000 / in_second)
    };
    let moment = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let moment = moment.ok_or_else(|| format!("moment {at} is in no year"))?;
    let written = format!("{moment:.6}");
    text(if utc { &written } else { written.trim_end_matches('Z') }, out);
    Ok(())
}

/// A number in two's complement, most significant byte first.
pub(crate) fn decimal(bytes: &[u8], scale: u32, out: &mut Vec<u8>) {
    if bytes.len() > 16 {
        return text(&STANDARD.encode(bytes), out);
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let start = if negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |all, byte| all << 8 | i128::from(*byte));
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - scale as usize);
    if unscaled < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(whole.as_bytes());
    if !part.is_empty() {
        out.push(b'.');
        out.extend_from_slice(part.as_bytes());
    }
}
