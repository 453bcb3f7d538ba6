//! A configuration file as a tree in which every node knows its place.

use super::problem::Problem;
use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_NODES_MAX};
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use std::{collections::HashMap, ops::Range};

/// Where something stands in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// From 1; 0 where it stands nowhere.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// In bytes.
    pub(crate) bytes: Range<usize>,
}

/// A node and where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) data: Data,
    /// A variable of the environment was put in.
    pub(crate) filled: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Data {
    #[default]
    Null,
    /// What was wrong and has been reported stood here.
    Cut,
    /// As it was written, without quotation marks; `plain` where it had none.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Member>),
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) at: Place,
    pub(crate) value: Node,
    /// It came from `<<`, and an own member of that name takes its place.
    merged: bool,
}

/// Reads the text. A key that stands twice is a problem, and its last value counts.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Problem>), Problem> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax_problem(&error, text))?;
        builder.take(event, &place(&span))?;
    }
    Ok((builder.root.unwrap_or_default(), builder.problems))
}

fn syntax_problem(error: &ScanError, text: &str) -> Problem {
    let at = position(error.marker());
    let problem = Problem::new(format!("this is not valid YAML: {}", error.info())).at(&at);
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    if line.contains("${") {
        return problem.hint("`${NAME}` inside of `[` or `{` needs quotation marks around it");
    }
    problem
}

fn position(marker: &Marker) -> Place {
    let start = marker.byte_offset().unwrap_or_default();
    Place { line: marker.line(), column: marker.col() + 1, bytes: start..start }
}

fn place(span: &Span) -> Place {
    let start = position(&span.start);
    Place { bytes: span.byte_range().unwrap_or_default(), ..start }
}

/// Puts the tree together from the parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

/// A list or map that has begun.
struct Open {
    node: Node,
    anchor: usize,
    /// The name of the member whose value comes next.
    name: Option<(String, Place)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: &Place) -> Result<(), Problem> {
        self.nodes += match &event {
            Event::Alias(anchor) => self.anchors.get(anchor).map_or(1, Node::size),
            event => usize::from(event.is_node()),
        };
        if self.nodes > CONFIG_NODES_MAX {
            let what = format!("the file is too large, {CONFIG_NODES_MAX} values are the limit");
            return Err(Problem::new(what).at(at).hint("an alias counts as all that it repeats"));
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let data = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Data::Null,
                    _ => Data::Text { text: text.into_owned(), plain },
                };
                self.node(Node { at: at.clone(), data, filled: false }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Data::List(Vec::new()), anchor, at),
            Event::MappingStart(_, anchor, _) => self.begin(Data::Map(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.node(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.node(Node { at: at.clone(), ..node.clone() }, 0),
                None => Err(Problem::new("this alias stands inside of its own anchor").at(at)),
            },
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Problem::new("a second document begins here, only one is read").at(at))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, data: Data, anchor: usize, at: &Place) -> Result<(), Problem> {
        if self.open.len() >= CONFIG_DEPTH_MAX {
            let what = format!("this is nested too deeply, {CONFIG_DEPTH_MAX} levels are the limit");
            return Err(Problem::new(what).at(at));
        }
        self.open.push(Open { node: Node { at: at.clone(), data, filled: false }, anchor, name: None });
        Ok(())
    }

    /// A node is whole: it goes where it belongs.
    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.data, open.name.take()) {
            (Data::List(items), _) => items.push(node),
            (Data::Map(members), Some((name, at))) => {
                if name == "<<" {
                    return merge(members, node);
                }
                if let Some(first) = members.iter().find(|member| member.name == name && !member.merged) {
                    let what = format!("this key stands twice, first in line {}", first.at.line);
                    self.problems.push(Problem::new(what).at(&at));
                }
                members.retain(|member| member.name != name);
                members.push(Member { name, at, value: node, merged: false });
            }
            (_, None) => match node.data {
                Data::Text { text, .. } => open.name = Some((text, node.at)),
                _ => return Err(Problem::new("a key must be a text").at(&node.at)),
            },
            _ => {}
        }
        Ok(())
    }
}

/// Takes over the members of another map (`<<: *anchor`) that are not there yet.
fn merge(members: &mut Vec<Member>, node: Node) -> Result<(), Problem> {
    let maps = match node.data {
        Data::List(items) => items,
        _ => vec![node],
    };
    for map in maps {
        let Data::Map(others) = map.data else {
            return Err(Problem::new("`<<` takes a map or a list of maps").at(&map.at));
        };
        for other in others {
            if !members.iter().any(|member| member.name == other.name) {
                members.push(Member { merged: true, ..other });
            }
        }
    }
    Ok(())
}

impl Node {
    /// The node at `path`; a list's items go by their number.
    pub(crate) fn find(&self, path: &[impl AsRef<str>]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.data {
            Data::Map(members) => members.iter().find(|m| m.name == first.as_ref())?.value.find(rest),
            Data::List(items) => items.get(first.as_ref().parse::<usize>().ok()?)?.find(rest),
            _ => None,
        }
    }

    /// Where the name of the member at `path` stands.
    pub(crate) fn find_name(&self, path: &[impl AsRef<str>]) -> Option<&Place> {
        let (name, above) = path.split_last()?;
        match &self.find(above)?.data {
            Data::Map(members) => members.iter().find(|m| m.name == name.as_ref()).map(|m| &m.at),
            _ => None,
        }
    }

    /// Takes the node at `path` out. An item of a list leaves a mark behind, so that those after it keep
    /// their numbers.
    pub(crate) fn cut(&mut self, path: &[impl AsRef<str>]) {
        let Some((first, rest)) = path.split_first() else {
            self.data = Data::Cut;
            return;
        };
        match &mut self.data {
            Data::Map(members) if rest.is_empty() => members.retain(|m| m.name != first.as_ref()),
            Data::Map(members) => {
                if let Some(member) = members.iter_mut().find(|m| m.name == first.as_ref()) {
                    member.value.cut(rest);
                }
            }
            Data::List(items) => {
                let index = first.as_ref().parse::<usize>().ok();
                if let Some(item) = index.and_then(|index| items.get_mut(index)) {
                    item.cut(rest);
                }
            }
            _ => {}
        }
    }

    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The names of its members, and where they stand.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let members = match &self.data {
            Data::Map(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|member| (member.name.as_str(), member.at.bytes.clone()))
    }

    /// Calls `see` for every node with its path, from the top down.
    pub(crate) fn walk(&self, path: &mut Vec<String>, see: &mut impl FnMut(&[String], &Node)) {
        see(path, self);
        let children: Vec<(String, &Node)> = match &self.data {
            Data::Map(members) => members.iter().map(|m| (m.name.clone(), &m.value)).collect(),
            Data::List(items) => items.iter().enumerate().map(|(i, node)| (i.to_string(), node)).collect(),
            _ => return,
        };
        for (name, child) in children {
            path.push(name);
            child.walk(path, see);
            path.pop();
        }
    }

    /// Nodes in all, this one included.
    fn size(&self) -> usize {
        match &self.data {
            Data::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Data::Map(members) => 1 + members.iter().map(|member| member.value.size()).sum::<usize>(),
            _ => 1,
        }
    }
}
