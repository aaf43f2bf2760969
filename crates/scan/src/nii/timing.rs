//! The repetition time, in seconds, or a sentence why the header does not say it.

use super::{header::Header, raw::Format};

/// Faster and slower scans than these are not known; a value outside is a wrong unit.
pub(crate) const PLAUSIBLE_S: std::ops::RangeInclusive<f64> = 0.05..=30.0;

const TIME_UNITS: [(&str, f64); 3] = [("s", 1.0), ("ms", 1e-3), ("us", 1e-6)];

/// Seconds between frames and the unit they were stored in, or what is wrong.
pub(crate) fn repetition_time(header: &Header) -> Result<(f64, &'static str), String> {
    let (stored, field) = (header.pixdim[4], t_r_field(header));
    if !(stored.is_finite() && stored > 0.0) {
        return Err(format!("{field} is {stored}, expected a positive finite number"));
    }
    let (unit, seconds) = match header.xyzt_units & 0o70 {
        0o10 => TIME_UNITS[0],
        0o20 => TIME_UNITS[1],
        0o30 => TIME_UNITS[2],
        code => {
            return Err(format!(
                "{field} is {stored} in no unit (xyzt_units has time code {code}), \
                 expected seconds, milliseconds or microseconds"
            ));
        }
    };
    let t_r = stored * seconds;
    if PLAUSIBLE_S.contains(&t_r) {
        return Ok((t_r, unit));
    }
    let meant = TIME_UNITS.iter().find(|(_, factor)| PLAUSIBLE_S.contains(&(stored * factor)));
    let guess = meant.map_or_else(String::new, |(meant, _)| {
        format!("; perhaps {stored} {meant} is meant and the unit is wrong")
    });
    let (shortest, longest) = (PLAUSIBLE_S.start(), PLAUSIBLE_S.end());
    Err(format!("{field} is {stored} {unit}, expected {shortest} to {longest} s{guess}"))
}

/// What the field is called that holds the repetition time.
pub(crate) fn t_r_field(header: &Header) -> &'static str {
    if header.format == Format::Mgh { "tr of the MGH footer" } else { "pixdim[4]" }
}

/// The unit of positions as the header states it.
pub(crate) fn space_unit(header: &Header) -> &'static str {
    match header.xyzt_units & 0o7 {
        1 => "meter",
        2 => "mm",
        3 => "micron",
        _ => "unknown",
    }
}

/// The unit of times as the header states it.
pub(crate) fn time_unit(header: &Header) -> &'static str {
    match header.xyzt_units & 0o70 {
        0o10 => "sec",
        0o20 => "msec",
        0o30 => "usec",
        0o40 => "hz",
        0o50 => "ppm",
        0o60 => "rads",
        _ => "unknown",
    }
}
