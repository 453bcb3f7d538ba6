//! What a body may hold, as data, and a check as strict as the real APIs are: whoever is lenient here
//! hides a mistake of the gateway's.

use serde_json::{Map, Value};

/// The shape of a value.
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// True or false.
    Flag,
    /// A whole number, at least this.
    Count(u64),
    /// A number between these.
    Number(f64, f64),
    /// A string of at most so many characters.
    Text(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// An array.
    List(&'static Shape),
    /// An object with any members.
    Map,
    /// An object with these members and no others.
    Object(&'static [Member]),
    /// An object whose members are told by the word in one of them; the first kind where that is missing.
    Tagged(&'static str, &'static [(&'static str, &'static [Member])]),
    /// One of several, told apart by their JSON types.
    Either(&'static [Shape]),
}

/// A member: its name, with `!` behind it where it must be there, and its shape. `null` is as if it were
/// not there.
pub(crate) type Member = (&'static str, Shape);

/// A string of any length.
pub(crate) const TEXT: Shape = Shape::Text(usize::MAX);
/// A whole number.
pub(crate) const COUNT: Shape = Shape::Count(0);

/// What is wrong, and where: `messages[0].content`.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) why: Why,
}

/// What is wrong with a member.
#[derive(Debug, PartialEq)]
pub(crate) enum Why {
    /// Nothing of that name is known.
    Unknown,
    /// It must be there.
    Missing,
    /// It is not what it should be.
    Not(String),
}

/// Compares a value with a shape.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(value: &Value, shape: &Shape) -> Result<(), Wrong> {
    at(value, shape, "")
}

/// A path as Anthropic and Google's `protobuf` libraries write it: `messages.0.content`.
pub(crate) fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

fn at(value: &Value, shape: &Shape, path: &str) -> Result<(), Wrong> {
    let wanted = match (shape, value) {
        (Shape::Any, _) | (Shape::Flag, Value::Bool(_)) | (Shape::Map, Value::Object(_)) => return Ok(()),
        (Shape::Count(least), _) if value.as_u64().is_some_and(|n| n >= *least) => return Ok(()),
        (Shape::Number(least, most), _) if value.as_f64().is_some_and(|n| *least <= n && n <= *most) => {
            return Ok(());
        }
        (Shape::Text(most), Value::String(text)) if text.chars().count() <= *most => return Ok(()),
        (Shape::Word(words), Value::String(word)) if words.contains(&word.as_str()) => return Ok(()),
        (Shape::List(one), Value::Array(all)) => {
            return all
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| at(item, one, &format!("{path}[{index}]")));
        }
        (Shape::Object(members), Value::Object(given)) => return object(given, members, path),
        (Shape::Tagged(tag, kinds), Value::Object(given)) => return tagged(given, tag, kinds, path),
        (Shape::Either(shapes), _) => match shapes.iter().find(|shape| is_like(value, shape)) {
            Some(shape) => return at(value, shape, path),
            None => "one of the types that are allowed here".to_owned(),
        },
        _ => named(shape),
    };
    Err(Wrong { path: path.to_owned(), why: Why::Not(wanted) })
}

fn object(given: &Map<String, Value>, members: &[Member], path: &str) -> Result<(), Wrong> {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let wrong = |name: &str, why| Err(Wrong { path: inside(name), why });
    let known = |wanted: &str| members.iter().find(|(name, _)| name.trim_end_matches('!') == wanted);
    for (name, _) in members {
        if let Some(name) = name.strip_suffix('!')
            && given.get(name).is_none_or(Value::is_null)
        {
            return wrong(name, Why::Missing);
        }
    }
    for (name, value) in given {
        match known(name) {
            None => return wrong(name, Why::Unknown),
            Some(_) if value.is_null() => {}
            Some((_, shape)) => at(value, shape, &inside(name))?,
        }
    }
    Ok(())
}

fn tagged(
    given: &Map<String, Value>,
    tag: &str,
    kinds: &[(&str, &'static [Member])],
    path: &str,
) -> Result<(), Wrong> {
    let said = given.get(tag).and_then(Value::as_str);
    let kind = match said {
        Some(said) => kinds.iter().find(|(kind, _)| *kind == said),
        None => kinds.first(),
    };
    let Some((_, members)) = kind else {
        let words: Vec<_> = kinds.iter().map(|(kind, _)| *kind).collect();
        let path = if path.is_empty() { tag.to_owned() } else { format!("{path}.{tag}") };
        return Err(Wrong { path, why: Why::Not(format!("one of '{}'", words.join("', '"))) });
    };
    let mut rest = given.clone();
    rest.remove(tag);
    object(&rest, members, path)
}

/// The value is of the JSON type of that shape.
fn is_like(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Flag => value.is_boolean(),
        Shape::Count(_) | Shape::Number(..) => value.is_number(),
        Shape::Text(_) | Shape::Word(_) => value.is_string(),
        Shape::List(_) => value.is_array(),
        Shape::Map | Shape::Object(_) | Shape::Tagged(..) => value.is_object(),
        Shape::Either(shapes) => shapes.iter().any(|shape| is_like(value, shape)),
    }
}

fn named(shape: &Shape) -> String {
    match shape {
        Shape::Any | Shape::Either(_) => "a value".to_owned(),
        Shape::Flag => "a boolean".to_owned(),
        Shape::Count(least) => format!("an integer of at least {least}"),
        Shape::Number(least, most) => format!("a number between {least} and {most}"),
        Shape::Text(usize::MAX) => "a string".to_owned(),
        Shape::Text(most) => format!("a string of at most {most} characters"),
        Shape::Word(words) => format!("one of '{}'", words.join("', '")),
        Shape::List(_) => "an array".to_owned(),
        Shape::Map | Shape::Object(_) | Shape::Tagged(..) => "an object".to_owned(),
    }
}
