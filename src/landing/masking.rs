//! Masking of landing lines: a file may have been written before a property was masked.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::line::{LandingLine, RejectedLine};
use crate::domain::{EntitySpec, LEFT_OUT, Mask, find_entity};

/// Returns a line with its record masked, and with a mark in its request that says so. A line without
/// anything to mask stays as it is, as does one that cannot be read, which its reader refuses.
///
/// # Errors
/// Returns what is wrong if its record cannot be masked; the caller adds the location.
pub(super) fn masked_line<'l>(line: &'l [u8], mask: &Mask) -> Result<Cow<'l, [u8]>, String> {
    if mask.is_empty() {
        return Ok(Cow::Borrowed(line));
    }
    let Ok(parsed) = LandingLine::parse(line) else {
        return Ok(Cow::Borrowed(line));
    };
    let found = find_entity(&parsed.entity).ok();
    let marked = found.and_then(|entity| Some((entity, mask.mark(entity)?)));
    match marked {
        Some((entity, mark)) => masked(line, parsed, mask, entity, mark),
        None => Ok(Cow::Borrowed(line)),
    }
}

fn masked<'l>(
    line: &'l [u8],
    parsed: LandingLine<'_>,
    mask: &Mask,
    entity: &EntitySpec,
    mark: &Value,
) -> Result<Cow<'l, [u8]>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let payload = match parsed.payload {
        Some(payload) => mask
            .record(entity, payload.get().as_bytes())
            .map_err(|e| text(&e))?,
        None => None,
    };
    let rejected = parsed
        .rejected
        .map(|rejected| reject(rejected, mask, entity));
    let mut request: Value =
        serde_json::from_str(parsed.request_payload.get()).map_err(|e| text(&e))?;
    let is_marked = request.get("masked") == Some(mark);
    if is_marked && payload.is_none() && rejected.is_none() {
        return Ok(Cow::Borrowed(line));
    }
    if let Some(members) = request.as_object_mut() {
        members.insert("masked".to_owned(), mark.clone());
    }
    let request = serde_json::value::to_raw_value(&request).map_err(|e| text(&e))?;
    let payload: Option<Box<RawValue>> = payload
        .map(|payload| serde_json::from_slice(&payload))
        .transpose()
        .map_err(|e| text(&e))?;
    let changed = LandingLine {
        request_payload: &request,
        payload: payload.as_deref().or(parsed.payload),
        rejected,
        ..parsed
    };
    let mut bytes = Vec::with_capacity(line.len());
    changed.write(&mut bytes).map_err(|e| text(&e))?;
    bytes.truncate(bytes.trim_ascii_end().len());
    // What counts as kept in memory is its length.
    bytes.shrink_to_fit();
    Ok(Cow::Owned(bytes))
}

/// Masks a record that was set aside, or leaves out a text that cannot be masked, and says so.
fn reject<'l>(rejected: RejectedLine<'l>, mask: &Mask, entity: &EntitySpec) -> RejectedLine<'l> {
    let RejectedLine { text, error, .. } = rejected;
    let had_text = text.is_some();
    let text = text.and_then(|text| mask.reject_text(entity, text.into_owned()));
    let text = text.map(Cow::Owned);
    let error = match had_text && text.is_none() {
        true => Cow::Owned(format!("{error}; {LEFT_OUT}")),
        false => error,
    };
    RejectedLine {
        text,
        error,
        ..rejected
    }
}
