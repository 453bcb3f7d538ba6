//! The rules that every API has for tool calls in a conversation: a call is answered, and an answer
//! answers a call.

/// A step of a conversation, as far as calls are concerned.
pub(crate) enum Step {
    /// The model called a tool; the call's id.
    Call(String),
    /// A tool's result for the call of that id.
    Result(String),
    /// Somebody said something.
    Words,
}

/// What is wrong with the calls.
#[derive(Debug, PartialEq)]
pub(crate) enum Loose {
    /// A result whose call was not made just before it.
    Result(String),
    /// A call without a result, though the conversation went on.
    Call(String),
}

/// Checks that each call is answered before anybody speaks again, and each result has its call.
///
/// # Errors
/// The first that is loose.
pub(crate) fn check(steps: impl IntoIterator<Item = Step>) -> Result<(), Loose> {
    let mut open: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Call(id) => open.push(id),
            Step::Result(id) => match open.iter().position(|call| *call == id) {
                Some(place) => drop(open.remove(place)),
                None => return Err(Loose::Result(id)),
            },
            Step::Words => none_open(&mut open)?,
        }
    }
    none_open(&mut open)
}

fn none_open(open: &mut Vec<String>) -> Result<(), Loose> {
    open.pop().map_or(Ok(()), |id| Err(Loose::Call(id)))
}
