package braid.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.LocalDate;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.reader.SimpleStreamFormat;
import org.apache.flink.core.fs.FSDataInputStream;

/** Lines of JSON as events: one parser for the whole file, fields that nobody needs are skipped. */
public final class Records extends SimpleStreamFormat<Event> {
    private static final long serialVersionUID = 1;
    private static final List<String> STEPS = List.of("browse", "cart", "checkout", "purchase");
    private static final JsonFactory JSON = new JsonFactory();

    @Override
    public Reader<Event> createReader(Configuration config, FSDataInputStream stream)
            throws IOException {
        return new Lines(JSON.createParser(stream));
    }

    @Override
    public TypeInformation<Event> getProducedType() {
        return TypeInformation.of(Event.class);
    }

    private static final class Lines implements Reader<Event> {
        private static final long NONE = Long.MIN_VALUE;
        private final JsonParser parser;
        /** The date that was read last: most records are of the same day as the one before. */
        private String date = "";
        private long dateMs;

        Lines(JsonParser parser) {
            this.parser = parser;
        }

        @Override
        public Event read() throws IOException {
            if (parser.nextToken() == null) {
                return null;
            }
            Event event = new Event();
            event.user = "";
            long stamp = NONE;
            long original = NONE;
            long sent = NONE;
            long received = NONE;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                JsonToken value = parser.nextToken();
                switch (field) {
                    case "messageId", "id" -> event.id = parser.getText();
                    case "userId", "customer" -> {
                        if (value == JsonToken.VALUE_STRING) {
                            event.user = parser.getText();
                        }
                    }
                    case "event", "kind" -> event.step = STEPS.indexOf(parser.getText()) + 1;
                    case "timestamp" -> stamp = moment(parser.getText());
                    case "originalTimestamp" -> original = moment(parser.getText());
                    case "sentAt" -> sent = moment(parser.getText());
                    case "receivedAt" -> received = moment(parser.getText());
                    case "at" -> stamp = parser.getLongValue();
                    default -> parser.skipChildren();
                }
            }
            // Segment's rule for a clock that is off.
            event.time = stamp != NONE ? stamp : received - (sent - original);
            return event;
        }

        /** Of text such as 2026-01-05T10:00:00.000Z. */
        private long moment(String text) {
            if (!text.startsWith(date) || date.isEmpty()) {
                date = text.substring(0, 10);
                dateMs = LocalDate.parse(date).toEpochDay() * 86_400_000L;
            }
            int seconds = two(text, 11) * 3600 + two(text, 14) * 60 + two(text, 17);
            return dateMs + seconds * 1000L + (text.charAt(20) - '0') * 100L + two(text, 21);
        }

        private static int two(String text, int at) {
            return (text.charAt(at) - '0') * 10 + text.charAt(at + 1) - '0';
        }

        @Override
        public void close() throws IOException {
            parser.close();
        }
    }
}
