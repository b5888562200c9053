package optview;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.Executors;
import org.apache.kafka.common.serialization.BytesSerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyQueryMetadata;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.HostInfo;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/** Serves the views of a views topic. Each instance holds the views of its partitions, and asks the others for theirs. */
public final class Views {
    private static final String STORE = "views";
    /** The key of progress marks, which is no UTF-8, so that no id is the same. A partition's store has its last one that was read. */
    private static final Bytes MARK = Bytes.wrap("optview-progress\u00ff".getBytes(ISO_8859_1));
    private static final String PROGRESS = "x-optview-progress";

    private final KafkaStreams streams;
    private final HostInfo self;
    private final HttpClient others = HttpClient.newHttpClient();

    private Views(Properties settings) {
        var builder = new StreamsBuilder();
        builder.table((String) settings.remove("topic"), Consumed.with(Serdes.Bytes(), Serdes.ByteArray()),
                Materialized.<Bytes, byte[], KeyValueStore<Bytes, byte[]>>as(STORE).withCachingDisabled());
        streams = new KafkaStreams(builder.build(settings), settings);
        self = HostInfo.buildFromEndpoint(settings.getProperty("application.server"));
    }

    private void answer(HttpExchange exchange) throws IOException {
        try {
            var path = exchange.getRequestURI().getRawPath();
            // A plus stands for itself in a path.
            var text = URLDecoder.decode(path.substring("/optimizations/".length()).replace("+", "%2B"), UTF_8);
            var id = Bytes.wrap(text.getBytes(UTF_8));
            var owner = streams.queryMetadataForKey(STORE, id, new BytesSerializer());
            if (owner == null || owner.equals(KeyQueryMetadata.NOT_AVAILABLE)) {
                send(exchange, 503, null);
            } else if (owner.activeHost().equals(self)) {
                var store = streams.store(StoreQueryParameters.fromNameAndType(STORE, QueryableStoreTypes.<Bytes, byte[]>keyValueStore())
                        .withPartition(owner.partition()));
                var mark = store.get(MARK);
                var view = store.get(id);
                if (mark != null) exchange.getResponseHeaders().set(PROGRESS, new String(mark, UTF_8));
                // Before a mark has come, nobody knows whether there is such a view.
                send(exchange, view != null ? 200 : mark != null ? 404 : 503, view);
            } else if (exchange.getRequestHeaders().containsKey("x-forwarded-for")) {
                // Two instances that do not agree on who has it, because partitions are moving.
                send(exchange, 503, null);
            } else {
                var address = URI.create("http://" + owner.activeHost().host() + ":" + owner.activeHost().port() + path);
                var request = HttpRequest.newBuilder(address).header("x-forwarded-for", self.toString()).timeout(Duration.ofSeconds(5));
                var answer = others.send(request.build(), BodyHandlers.ofByteArray());
                answer.headers().firstValue(PROGRESS).ifPresent(mark -> exchange.getResponseHeaders().set(PROGRESS, mark));
                send(exchange, answer.statusCode(), answer.body());
            }
        } catch (InvalidStateStoreException | IOException | InterruptedException unavailable) {
            send(exchange, 503, null);
        } catch (IllegalArgumentException noPath) {
            send(exchange, 404, null);
        }
    }

    private void answerReadiness(HttpExchange exchange) throws IOException {
        send(exchange, streams.state() == KafkaStreams.State.RUNNING ? 200 : 503, null);
    }

    private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
        if (body != null) exchange.getResponseHeaders().set("content-type", "application/json");
        if (status == 503) exchange.getResponseHeaders().set("retry-after", "1");
        exchange.sendResponseHeaders(status, body == null || body.length == 0 ? -1 : body.length);
        try (var out = exchange.getResponseBody()) {
            if (body != null) out.write(body);
        }
    }

    public static void main(String[] arguments) throws IOException {
        var settings = new Properties();
        try (var file = new FileInputStream(arguments[0])) {
            settings.load(file);
        }
        for (var argument : arguments) {
            var at = argument.indexOf('=');
            if (at > 0) settings.setProperty(argument.substring(0, at), argument.substring(at + 1));
        }
        // Without it each answer waits for an acknowledgement that the other side holds back.
        System.setProperty("sun.net.httpserver.nodelay", "true");
        var views = new Views(settings);
        var server = HttpServer.create(new InetSocketAddress(views.self.host(), views.self.port()), 0);
        server.createContext("/optimizations/", views::answer);
        server.createContext("/readyz", views::answerReadiness);
        // Without a bound: two instances whose threads all wait for the other one would wait for ever.
        server.setExecutor(Executors.newCachedThreadPool());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> views.streams.close(Duration.ofSeconds(10))));
        views.streams.start();
        server.start();
    }
}
