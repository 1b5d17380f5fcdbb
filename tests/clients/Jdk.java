// Publishes and downloads with the JDK's HttpClient, which offers HTTP/2 with `Upgrade: h2c` on the way.
// Usage: java Jdk.java URL TOKEN. Prints one line per request: method, status, bytes.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class Jdk {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        byte[] content = new byte[300_000];
        new java.util.Random(1).nextBytes(content);
        for (int at = 0; at < 3; at++) {
            URI file = URI.create(args[0] + "/file" + at);
            HttpRequest.Builder request = HttpRequest.newBuilder(file).header("Authorization", "Bearer " + args[1]);
            HttpRequest put = request.copy().PUT(HttpRequest.BodyPublishers.ofByteArray(content)).build();
            show("PUT", client.send(put, HttpResponse.BodyHandlers.ofByteArray()));
            HttpResponse<byte[]> read = client.send(request.copy().build(), HttpResponse.BodyHandlers.ofByteArray());
            show("GET", read);
            if (!java.util.Arrays.equals(content, read.body())) {
                throw new AssertionError("other bytes came back");
            }
        }
    }

    private static void show(String method, HttpResponse<byte[]> answer) {
        System.out.println(method + " " + answer.statusCode() + " " + answer.body().length + " " + answer.version());
    }
}
