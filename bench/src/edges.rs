//! `edges`: makes the edges that `bench/peers` compares, and answers for braid and for its limit.

use std::path::PathBuf;
use std::process::ExitCode;

use braid_bench::peers;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "edges", about = "Edges for bench/peers, and who is connected by them.")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Writes a file of edges.
    Export {
        /// The file.
        path: PathBuf,
        /// How many edges.
        #[arg(long)]
        size: usize,
    },
    /// braid's engine.
    Engine(Of),
    /// Union-find.
    UnionFind(Of),
    /// differential's propagate.
    Propagate(Of),
}

#[derive(clap::Args)]
struct Of {
    /// A file of edges.
    path: PathBuf,
    /// Events that are one epoch; 0 for all of them.
    #[arg(long, default_value_t = 65_536)]
    epoch: usize,
}

impl Of {
    fn answer(
        &self,
        way: impl FnOnce(&[peers::Pair], usize) -> peers::Labels,
    ) -> std::io::Result<()> {
        let edges = peers::read(&self.path)?;
        let epoch = if self.epoch == 0 { edges.len().max(1) } else { self.epoch };
        println!("{}", peers::answer(&way(&edges, epoch)));
        Ok(())
    }
}

fn main() -> ExitCode {
    let result = match Args::parse().what {
        What::Export { path, size } => peers::export(&path, size),
        What::Engine(of) => of.answer(peers::engine),
        What::UnionFind(of) => of.answer(|edges, _| peers::union_find(edges)),
        What::Propagate(of) => of.answer(peers::propagate),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edges: {error}");
            ExitCode::FAILURE
        }
    }
}
