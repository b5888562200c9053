package optview;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.Executors;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
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
    /** The key of progress marks, which no optimization has. */
    private static final String MARK = "optview-progress";

    private final KafkaStreams streams;
    private final HostInfo self;
    private final HttpClient others = HttpClient.newHttpClient();

    private Views(Properties settings) {
        var builder = new StreamsBuilder();
        builder.table((String) settings.remove("topic"), Consumed.with(Serdes.String(), Serdes.ByteArray()),
                Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as(STORE).withCachingDisabled());
        streams = new KafkaStreams(builder.build(settings), settings);
        self = HostInfo.buildFromEndpoint(settings.getProperty("application.server"));
    }

    private void answer(HttpExchange exchange) throws IOException {
        var path = exchange.getRequestURI().getRawPath();
        try {
            if (path.equals("/readyz")) {
                send(exchange, streams.state() == KafkaStreams.State.RUNNING ? 200 : 503, streams.state().name().getBytes());
                return;
            }
            // A plus stands for itself in a path.
            var id = java.net.URLDecoder.decode(path.substring("/optimizations/".length()).replace("+", "%2B"), "UTF-8");
            var owner = streams.queryMetadataForKey(STORE, id, new StringSerializer());
            if (owner == null || owner.equals(KeyQueryMetadata.NOT_AVAILABLE)) {
                send(exchange, 503, null);
            } else if (owner.activeHost().equals(self)) {
                var store = streams.store(StoreQueryParameters.fromNameAndType(STORE, QueryableStoreTypes.<String, byte[]>keyValueStore())
                        .withPartition(owner.partition()));
                var view = id.equals(MARK) ? null : store.get(id);
                send(exchange, view == null ? 404 : 200, view);
            } else if (exchange.getRequestHeaders().containsKey("x-forwarded-for")) {
                // Two instances that do not agree on who has it, because partitions are moving.
                send(exchange, 503, null);
            } else {
                var address = URI.create("http://" + owner.activeHost().host() + ":" + owner.activeHost().port() + path);
                var request = HttpRequest.newBuilder(address).header("x-forwarded-for", self.toString()).timeout(Duration.ofSeconds(5));
                var answer = others.send(request.build(), BodyHandlers.ofByteArray());
                send(exchange, answer.statusCode(), answer.body());
            }
        } catch (InvalidStateStoreException | IOException | InterruptedException unavailable) {
            send(exchange, 503, null);
        }
    }

    private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.getResponseHeaders().set("content-type", "application/json");
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
        var views = new Views(settings);
        var server = HttpServer.create(new InetSocketAddress(views.self.host(), views.self.port()), 0);
        server.createContext("/optimizations/", views::answer);
        server.createContext("/readyz", views::answer);
        server.setExecutor(Executors.newFixedThreadPool(32));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> views.streams.close(Duration.ofSeconds(10))));
        views.streams.start();
        server.start();
    }
}
