// Stream a chat completion. In an empty folder with this file:
//
//	go mod init example && go get github.com/openai/openai-go/v3 && go run go_openai.go
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	client := openai.NewClient(
		option.WithBaseURL(setting("OPENAI_BASE_URL", "http://localhost:8080/openai/v1")),
		option.WithAPIKey(setting("OPENAI_API_KEY", "any")),
	)
	stream := client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{
		Model:         "gpt-4o",
		Messages:      []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say something.")},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	})
	for stream.Next() {
		chunk := stream.Current()
		if len(chunk.Choices) > 0 {
			fmt.Print(chunk.Choices[0].Delta.Content)
		}
		if chunk.Usage.CompletionTokens > 0 {
			fmt.Printf("\n%d tokens\n", chunk.Usage.CompletionTokens)
		}
	}
	if err := stream.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
