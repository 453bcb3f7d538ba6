//! The shared files as people write them.

use super::{keys, value};

const FILE: &str = "\
# aws_access_key_id = commented
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=secret/with+signs=
region = us-east-1  # near
s3 =
  region = nested

[profile work]
region = eu-west-1
region = eu-central-1
[ profile spaced ]
AWS_ACCESS_KEY_ID = AKIASPACED
aws_secret_access_key = s#s ; a comment
aws_session_token = token
[profile-like]
region = other
[half]
aws_access_key_id = AKIAHALF
";

#[test]
fn a_value_is_found_in_its_own_section() {
    #[rustfmt::skip]
    let table = [
        ("default", "region", Some("us-east-1")),
        ("work", "region", Some("eu-central-1")),
        ("profile-like", "region", Some("other")),
        ("like", "region", None),
        ("default", "s3", None),
        ("nobody", "region", None),
        ("spaced", "region", None),
    ];
    for (profile, key, expected) in table {
        assert_eq!(value(FILE, profile, key), expected, "{profile} {key}");
    }
}

#[test]
fn a_key_is_whole_or_none() {
    let default = keys(FILE, "default").expect("a key");
    assert_eq!((default.access_key.as_str(), default.secret.expose()), ("AKIADEFAULT", "secret/with+signs="));
    assert!(default.session.is_none());
    let spaced = keys(FILE, "spaced").expect("a key");
    assert_eq!((spaced.access_key.as_str(), spaced.secret.expose()), ("AKIASPACED", "s#s"));
    assert_eq!(spaced.session.expect("a token").expose(), "token");
    assert!(keys(FILE, "half").is_none());
}
