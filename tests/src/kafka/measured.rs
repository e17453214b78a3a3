//! The job and the records that programs measure.

/// Partitions of the input, and of each output.
pub const PARTITIONS: i32 = 2;
/// People of whom the records are.
const PEOPLE: u64 = 5_000;

/// A job that reads `<name>.in` and writes tables and the topics `<name>.out.<view>`.
pub fn job(name: &str, brokers: &str) -> String {
    format!(
        "[job]\nname = {name:?}\nout = \"out\"\n\
         [[source]]\nname = \"web\"\nconnector = \"kafka\"\nbrokers = {brokers:?}\n\
         topics = [\"{name}.in\"]\nchannel = \"web\"\n\
         [[view]]\nkind = \"sessions\"\n\
         [[view]]\nkind = \"funnel\"\nname = \"buy\"\n\
         steps = [{{ event = \"see\" }}, {{ event = \"buy\" }}]\n\
         [[sink]]\nconnector = \"table\"\nevery = \"5s\"\n\
         [[sink]]\nconnector = \"kafka\"\nbrokers = {brokers:?}\nprefix = \"{name}.out\"\n\
         partitions = {PARTITIONS}\n"
    )
}

/// The record of a number: of some person, as of now.
pub fn record(number: u64) -> String {
    let now = jiff::Timestamp::now();
    let user = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let event = ["see", "see", "cart", "buy"][number as usize % 4];
    format!(
        "{{\"messageId\":\"m{number}\",\"userId\":\"u{}\",\"anonymousId\":\"a{}\",\
         \"event\":\"{event}\",\"timestamp\":\"{now}\",\"type\":\"track\"}}",
        user % PEOPLE,
        user % (2 * PEOPLE)
    )
}
