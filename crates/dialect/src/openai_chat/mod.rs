//! placeholder
use crate::*;
pub(crate) struct OpenaiChat;
impl Dialect for OpenaiChat {
    fn id(&self) -> DialectId { DialectId::OpenaiChat }
    fn read_request(&self, _: &[u8]) -> Result<Carried<Request>, Fault> { unimplemented!() }
    fn write_request(&self, _: &Request, _: &Target<'_>) -> Carried<Vec<u8>> { unimplemented!() }
    fn read_response(&self, _: &[u8]) -> Result<Carried<Message>, Fault> { unimplemented!() }
    fn write_response(&self, _: &Message) -> Carried<Vec<u8>> { unimplemented!() }
    fn reader(&self) -> Box<dyn Reader> { unimplemented!() }
    fn writer(&self, _: &Request) -> Box<dyn Writer> { unimplemented!() }
    fn glance(&self) -> Box<dyn Glance> { unimplemented!() }
    fn read_usage(&self, _: &[u8]) -> Option<Usage> { unimplemented!() }
    fn read_fault(&self, _: u16, _: &[u8]) -> Fault { unimplemented!() }
    fn write_fault(&self, _: &Fault) -> Vec<u8> { unimplemented!() }
    fn write_stream_fault(&self, _: &Fault) -> Vec<u8> { unimplemented!() }
}
