//! `sekisho explain`: what would become of a request. Nothing is sent.

use super::{Exit, print};
use crate::load::{self, Args};
use bytes::Bytes;
use clap::{Args as Arguments, builder::PossibleValuesParser};
use dialect::DialectId;
use engine::{
    access::Caller,
    explain::{Question, explain},
};
use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

/// What to explain.
#[derive(Arguments)]
pub(crate) struct ExplainArgs {
    /// The model, as a request would name it
    model: String,

    /// A request, as a client would send it: its needs, what it would cost, and how it would be translated
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// The API that the client speaks
    #[arg(long, value_name = "DIALECT", default_value = DialectId::OpenaiChat.name(), value_parser = callers())]
    dialect: String,

    /// Who calls, for his limits: the number of one of the client keys, from 1 [default: nobody in particular]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    caller: Option<u64>,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

fn callers() -> PossibleValuesParser {
    PossibleValuesParser::new(DialectId::callers().map(DialectId::name).collect::<Vec<_>>())
}

pub(super) fn run(args: &Args, asked: &ExplainArgs) -> Exit {
    let plan = match load::load(args) {
        Ok(loaded) => Rc::new(Arc::new(loaded.plan)),
        Err(problems) => return print::problems(&problems),
    };
    let body = match asked.request.as_deref().map(|path| read(path, plan.body_max)).transpose() {
        Ok(body) => body,
        Err(why) => return failed(&why),
    };
    let dialect = DialectId::from_name(&asked.dialect).unwrap_or(DialectId::OpenaiChat);
    let caller = Caller(asked.caller.map(|number| usize::try_from(number - 1).unwrap_or(usize::MAX)));
    match explain(&plan, &Question { model: &asked.model, dialect, caller, body }) {
        Ok(explained) if asked.json => {
            print::json_data(&serde_json::to_value(&explained).unwrap_or_default());
            Exit::Done
        }
        Ok(explained) => {
            print::data(&explained.to_string());
            Exit::Done
        }
        Err(fault) => failed(&fault.text()),
    }
}

fn failed(why: &str) -> Exit {
    print::words(why);
    Exit::Failed
}

fn read(path: &Path, max: usize) -> Result<Bytes, String> {
    let wrong = |why: &str| format!("{}: this file cannot be read: {why}", path.display());
    let bytes = load::read(path, max).map_err(|why| wrong(&why))?;
    if bytes.len() > max { Err(wrong("it is larger than `limits.body`")) } else { Ok(bytes.into()) }
}
