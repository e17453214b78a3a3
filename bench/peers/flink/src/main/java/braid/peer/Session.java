package braid.peer;

import org.apache.flink.api.common.functions.AggregateFunction;

/** How many events a session has. */
public final class Session implements AggregateFunction<Event, Long, Long> {
    private static final long serialVersionUID = 1;

    @Override
    public Long createAccumulator() {
        return 0L;
    }

    @Override
    public Long add(Event event, Long count) {
        return count + 1;
    }

    @Override
    public Long getResult(Long count) {
        return count;
    }

    @Override
    public Long merge(Long one, Long other) {
        return one + other;
    }
}
