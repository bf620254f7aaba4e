<?php
// Prints sentiment and entities of each statement of a transcript.
//     php examples/http/interview.php [FILE]
// Needs PHP 8 with its curl extension, and a worker with an HTTP port (`qda-worker serve --http-listen`): at
// http://127.0.0.1:8080, or at QDA_URL. QDA_TOKEN is a token, where the worker asks for one. Positions are requested in
// UTF-8 bytes, which substr counts; with mb_substr request OFFSET_ENCODING_CODE_POINTS.
declare(strict_types=1);

/** Calls a method and returns its response. The message of an error ends with a remedy. */
function call(string $method, array $request): array
{
    $headers = ['Content-Type: application/json'];
    if ($token = getenv('QDA_TOKEN')) {
        $headers[] = "Authorization: Bearer $token";
    }
    $curl = curl_init((getenv('QDA_URL') ?: 'http://127.0.0.1:8080') . "/qda.v1.$method");
    curl_setopt_array($curl, [
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_POSTFIELDS => json_encode($request, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE),
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 30,
    ]);
    $body = curl_exec($curl);
    if ($body === false) {
        throw new RuntimeException(curl_error($curl));
    }
    $response = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) !== 200) {
        throw new RuntimeException($response['message']);
    }
    return $response;
}

$statements = [];
foreach (file($argv[1] ?? 'demo/interview.txt', FILE_IGNORE_NEW_LINES) as $line) {
    if (preg_match('/^(\w+): (.*?)(?: #[\d:-]+#)?$/', $line, $match)) { // I: … #00:00:03-0#
        $statements[] = ['speaker' => $match[1], 'content' => $match[2]];
    }
}
$texts = array_map(fn ($statement) => ['content' => $statement['content']], $statements);
$sentiment = call('SentimentService/AnalyzeSentiment', ['texts' => $texts]);
$entities = call(
    'EntityService/RecognizeEntities',
    ['texts' => $texts, 'offsetEncoding' => 'OFFSET_ENCODING_UTF8_BYTES'],
);
foreach ($statements as $i => ['speaker' => $speaker, 'content' => $content]) {
    $names = [];
    foreach ($entities['results'][$i]['entities'] as ['label' => $label, 'span' => $span]) {
        $names[] = substr($content, $span['start'], $span['end'] - $span['start']) . " ($label)";
    }
    $label = strtolower(str_replace('SENTIMENT_LABEL_', '', $sentiment['results'][$i]['label']));
    echo implode("\t", [$speaker, $label, $content, implode(', ', $names)]), "\n";
}
