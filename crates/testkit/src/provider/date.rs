//! The date as HTTP writes it: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>

use std::time::SystemTime;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date in so many seconds.
pub(crate) fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs());
    written(now + seconds)
}

/// A time in seconds since 1970.
pub(crate) fn written(seconds: u64) -> String {
    let (mut day, time) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS.get((day % 7) as usize).unwrap_or(&"");
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while let Some(length) = lengths.get(month).filter(|length| day >= **length) {
        day -= length;
        month += 1;
    }
    let month = MONTHS.get(month).unwrap_or(&"");
    let (hours, minutes, seconds) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{weekday}, {:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02} GMT", day + 1)
}
