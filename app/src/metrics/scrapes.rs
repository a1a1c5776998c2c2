//! One scrape: gathered, turned into text, and told again to whoever comes in the same moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use metrics::{EncodeError, Form, Scrape};
use reactor::ReactorHandle;
use tokio::sync::Mutex;

use super::ask::Asker;
use super::families;

/// A text that is no older is told again, so that clients who ask all the time cost the control thread no more than this.
const FRESH: Duration = Duration::from_millis(200);

/// Whom the metrics thread asks.
pub(crate) struct Sources {
    /// The data path's, in the order of poll groups.
    pub(crate) reactors: Vec<ReactorHandle>,
    /// The control thread's own.
    pub(crate) control: ReactorHandle,
    pub(crate) asker: Asker,
}

/// The last texts. Locked while one is made, so there is one gathering at a time and nobody asks twice.
#[derive(Default)]
pub(super) struct Scrapes {
    texts: Mutex<HashMap<Form, (Instant, Bytes)>>,
}

impl Scrapes {
    /// The text of now, or nearly.
    pub(super) async fn text(&self, sources: &Sources, form: Form) -> Result<Bytes, EncodeError> {
        let mut texts = self.texts.lock().await;
        if let Some((_, text)) = texts.get(&form).filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(text.clone());
        }
        let text = Bytes::from(gather(sources).await.encode(form)?);
        texts.insert(form, (Instant::now(), text.clone()));
        Ok(text)
    }
}

async fn gather(sources: &Sources) -> Scrape {
    let snapshot = sources.asker.snapshot().await;
    let mut scrape = Scrape::new();
    families::process::add(&mut scrape);
    families::host::add(&mut scrape);
    families::reactor::add(&mut scrape, &sources.reactors, &sources.control);
    families::target::add_control(&mut scrape, snapshot.is_some());
    let Some(snapshot) = snapshot else { return scrape };
    let names: Vec<String> = sources.reactors.iter().map(|reactor| reactor.stats().name).collect();
    families::target::add(&mut scrape, &snapshot, &names);
    families::lun::add(&mut scrape, &snapshot.transport.luns);
    families::session::add(&mut scrape, &snapshot.transport.sessions);
    families::bdev::add(&mut scrape, &snapshot);
    if let Some(roce) = &snapshot.roce {
        families::roce::add(&mut scrape, roce);
    }
    families::discovery::add(&mut scrape, &snapshot.discovery);
    scrape
}
