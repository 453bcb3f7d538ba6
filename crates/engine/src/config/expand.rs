//! `${NAME}` in values.

use super::{
    problem::Problem,
    tree::{Data, Node},
};

/// Puts the environment's variables into every value of the tree. Names of members stay as they are. What
/// cannot be filled is cut, and `tell` hears of it.
pub(super) fn expand(
    node: &mut Node,
    path: &mut Vec<String>,
    env: &dyn Fn(&str) -> Option<String>,
    tell: &mut dyn FnMut(&[String], Problem),
) {
    match &mut node.data {
        Data::Null | Data::Cut => {}
        Data::Text { text, .. } if !text.contains('$') => {}
        Data::Text { text, .. } => match fill(text, env) {
            Ok(filled) => {
                node.filled = text.contains("${");
                *text = filled;
            }
            Err(problem) => {
                tell(path, problem.at(&node.at));
                node.data = Data::Cut;
            }
        },
        Data::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                expand(item, path, env, tell);
                path.pop();
            }
        }
        Data::Map(members) => {
            for member in members {
                path.push(member.name.clone());
                expand(&mut member.value, path, env, tell);
                path.pop();
            }
        }
    }
}

/// `${NAME}`, `${NAME:-default}`, and `$$` for a dollar. An empty variable counts as unset.
fn fill(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            filled.push('$');
            rest = behind;
            continue;
        }
        let Some(behind) = behind.strip_prefix('{') else {
            filled.push('$');
            rest = behind;
            continue;
        };
        let Some((inside, behind)) = behind.split_once('}') else {
            return Err(Problem::new("`${` has no `}`").hint("a dollar as such is written `$$`"));
        };
        filled.push_str(&variable(inside, env)?);
        rest = behind;
    }
    Ok(filled + rest)
}

fn variable(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) || default.is_some_and(|default| default.contains("${"))
    {
        return Err(Problem::new("what stands in `${…}` is not the name of a variable")
            .hint("write `${NAME}` or `${NAME:-default}`; a dollar as such is `$$`"));
    }
    match (env(name).filter(|value| !value.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Problem::new(format!("environment variable `{name}` is not set"))
            .hint(format!("set it, or give a default: `${{{name}:-default}}`"))),
    }
}
