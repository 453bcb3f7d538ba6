//! Times as AWS writes them.

use super::unix_seconds;

#[test]
fn a_time_is_counted_from_1970() {
    #[rustfmt::skip]
    let table = [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T12:00:00Z", Some(951_825_600)),
        ("2000-03-01T00:00:00Z", Some(951_868_800)),
        ("2024-12-31T23:59:60Z", Some(1_735_689_600)),
        ("2026-11-20T16:00:00Z", Some(1_795_190_400)),
        ("2026-11-20T16:00:00.123Z", Some(1_795_190_400)),
        ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
        ("2026-11-20T16:00:00", None),
        ("2026-13-20T16:00:00Z", None),
        ("2026-11-20", None),
        ("1900-01-01T00:00:00Z", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(unix_seconds(text), expected, "{text}");
    }
}
