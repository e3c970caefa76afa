use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::io::AsyncWriteExt;

use super::api::Api;
use super::{Outcome, progress};

/// Write all products to a file or to stdout, in the format that import reads.
#[derive(Debug, Args)]
pub struct Export {
    /// Where to; stdout if it is not given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// The products service.
    #[arg(long, default_value = "http://127.0.0.1:8082", env = "SHOP_PRODUCTS_URL")]
    url: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A JSON object a line.
    Ndjson,
    /// Comma separated, with a header.
    Csv,
}

impl Export {
    /// Streams the export; memory does not grow with it. A file appears under its name only when it is whole.
    ///
    /// # Errors
    /// If the service cannot be asked, breaks off, or the file cannot be written.
    pub async fn run(self) -> Outcome {
        let api = Api::new(&self.url)?;
        let format = match self.format {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        };
        let mut answer = Api::send(api.get("/v1/products/export").query(&[("format", format)])).await?;
        let bar = progress::bytes(None, false);
        match self.output {
            None => {
                let mut out = tokio::io::stdout();
                while let Some(chunk) = answer.chunk().await? {
                    out.write_all(&chunk).await?;
                    bar.inc(chunk.len() as u64);
                }
                out.flush().await?;
            }
            Some(path) => {
                let mut partial = path.clone().into_os_string();
                partial.push(".partial");
                let mut file = tokio::fs::File::create(&partial).await?;
                while let Some(chunk) = answer.chunk().await? {
                    file.write_all(&chunk).await?;
                    bar.inc(chunk.len() as u64);
                }
                file.sync_all().await?;
                tokio::fs::rename(&partial, &path).await?;
            }
        }
        bar.finish_and_clear();
        Ok(true)
    }
}
