//! A connection that can be cut: bytes are lost and nobody is told, as when a cable is drawn.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Stands before an address.
pub struct Proxy {
    address: String,
    cut: Arc<AtomicBool>,
    /// Of each connection, in their order, whether it alone is cut.
    each: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Proxy {
    /// A proxy before `target`, which need not listen yet.
    pub fn new(target: &str) -> Self {
        let listener = TcpListener::bind((super::host(), 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut: Arc<AtomicBool> = Arc::default();
        let each: Arc<Mutex<Vec<Arc<AtomicBool>>>> = Arc::default();
        let (target, is_cut, list) = (target.to_owned(), Arc::clone(&cut), Arc::clone(&each));
        // It ends with the test.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
                let own: Arc<AtomicBool> = Arc::default();
                list.lock().unwrap().push(Arc::clone(&own));
                let both = [(&client, &server), (&server, &client)];
                for (from, to) in both.map(|(a, b)| (a.try_clone(), b.try_clone())) {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    let cuts = [Arc::clone(&is_cut), Arc::clone(&own)];
                    thread::spawn(move || pump(from, to, &cuts));
                }
            }
        });
        Self { address, cut, each }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on nothing comes through. What is connected stays cut after [`Proxy::mend`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// From now on nothing comes through the connections at these places, counted from the last one
    /// back. All others, and new ones, are as before.
    pub fn cut_last(&self, places: impl IntoIterator<Item = usize>) {
        let each = self.each.lock().unwrap();
        for place in places {
            each[each.len() - 1 - place].store(true, Ordering::Release);
        }
    }

    /// New connections come through again.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, cuts: &[Arc<AtomicBool>; 2]) {
    let mut bytes = vec![0; 64 << 10];
    let mut lost = false;
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        lost |= cuts.iter().any(|cut| cut.load(Ordering::Acquire));
        if lost && read > 0 {
            continue;
        }
        if lost {
            // Nobody is told that one side is gone: the other waits as long as it likes.
            return std::mem::forget(to);
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}
