//! One front door to every LLM provider.

mod clock;
mod demo;
mod door;
mod drive;
mod limits;
mod log;
mod models;
mod serve;
mod upstream;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let _ = serve::run(engine::plan::Plan::default(), |_| {});
}
