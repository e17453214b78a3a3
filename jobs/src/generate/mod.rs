//! A simulated shop: web, mobile and backend events with the truth about each of them.
//!
//! [`Shop`] is pure: the same [`ShopOptions`] give the same records, whatever the machine.
//! [`write()`] puts them into files, with a job that reads them. What happens in the shop:
//!
//! - People come in visits, mostly by day: they look, search, fill a cart, buy. Some have an
//!   account and log in now and then, some only type an address when they buy, some tell nothing.
//! - A person has a browser or two, whose cookies go now and then, and a phone, on which the
//!   application is installed anew or which is replaced. In some households two people use one
//!   tablet in turn. Kiosks in stores are used by anybody. A few people open a second account, and
//!   support merges the two.
//! - The backend confirms each purchase under the same `order_id`, ships, and refunds; its records
//!   have a form of their own and come in a nightly file. Phones that are offline send later.
//! - Records come twice, byte for byte or with new times; some are broken. Clocks are off, mostly
//!   in all that a device says, so that Segment's formula puts it right, rarely in `timestamp`.

mod files;
mod household;
mod job;
mod lines;
mod options;
mod outbox;
mod place;
mod random;
mod record;
mod shop;
#[cfg(test)]
mod tests;
mod visit;
mod words;
mod write;

pub use files::{Compression, FileOptions, GenerateError};
pub use household::Person;
pub use job::job_file;
pub use options::{OptionError, ShopOptions};
pub use record::{Broken, Channel, Copy, Device, Name, Truth, Uuid};
pub use shop::{Line, Shop};
pub use write::{Generated, write};

/// What a tenant is called in the tables.
pub fn tenant_name(options: &ShopOptions, tenant: u32) -> String {
    if options.tenants <= 1 {
        // Records without a tenant have the job's default.
        return "default".to_owned();
    }
    let mut name = Vec::new();
    words::tenant(tenant, &mut name);
    String::from_utf8_lossy(&name).into_owned()
}
