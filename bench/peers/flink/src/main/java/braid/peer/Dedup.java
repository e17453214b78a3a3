package braid.peer;

import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Keeps the first event of each message id, and of these those of known users. */
public final class Dedup extends KeyedProcessFunction<String, Event, Event> {
    private static final long serialVersionUID = 1;
    private final LongCounter events = new LongCounter();
    private final LongCounter known = new LongCounter();
    private transient ValueState<Boolean> seen;

    @Override
    public void open(OpenContext context) {
        seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Boolean.class));
        getRuntimeContext().addAccumulator("events", events);
        getRuntimeContext().addAccumulator("known", known);
    }

    @Override
    public void processElement(Event event, Context context, Collector<Event> out)
            throws Exception {
        if (seen.value() != null) {
            return;
        }
        seen.update(true);
        events.add(1);
        if (!event.user.isEmpty()) {
            known.add(1);
            out.collect(event);
        }
    }
}
